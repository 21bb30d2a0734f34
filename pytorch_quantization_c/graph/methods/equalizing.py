"""Cross-layer equalization of float graphs, through functions f with f(a x) = a f(x) for a > 0."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...methods.equalization import equalizing_factor
from ..passes.editing import attribute, graph_of, is_op, read_once, scalar, set_constant, substitute
from ..passes.layers import Layer, layer_of
from ..representation.constants import new_constant
from ..representation.naming import free_node_name

ROUNDS, CLOSE = 40, 1e-4
SCALING_OPS = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity")

Vector = NDArray[np.float64]


class Pair(NamedTuple):
    """Two layers, and the nodes between them in order."""

    first: ir.Node
    second: ir.Node
    between: tuple[ir.Node, ...]


def equalize_layers(model: ir.Model, layers: Iterable[ir.Node]) -> list[tuple[str, str]]:
    """Equalizes the ranges of channels between layers, in place, pair by pair until all chains have settled.

    A pair is a layer whose output nothing but one other layer reads, through ReLU, LeakyReLU, Clip from 0 (ReLU6),
    pools and MaxPool. A Clip from 0 to a number becomes a Relu and a Min with a number for each channel, so that the
    model computes what it did.

    Args:
        layers: the nodes that may be changed.

    Returns:
        The names of the pairs.
    """
    found = [pair for node in layers if (pair := pair_from(node, set(layers)))]
    factors = {pair.first: np.ones(layer_at(pair.first).channels) for pair in found}
    for _ in range(ROUNDS):
        moved = 0.0
        for pair in found:
            first, second = layer_at(pair.first), layer_at(pair.second)
            factor = equalizing_factor(_out_ranges(first), _in_ranges(second))
            scale_pair(pair, factor)
            factors[pair.first] = factors[pair.first] * factor
            moved = max(moved, float(np.abs(np.log(factor)).max(initial=0)))
        if moved < CLOSE:
            break
    for pair in found:
        for node in pair.between:
            if is_op(node, "Clip"):
                clip_channels(node, factors[pair.first])
    return [(str(pair.first.name), str(pair.second.name)) for pair in found]


def layer_at(node: ir.Node) -> Layer:
    """The known layer of a node."""
    found = layer_of(node)
    assert found is not None
    return found


def pair_from(node: ir.Node, layers: set[ir.Node]) -> Pair | None:
    """The layer of `layers` that alone reads what a layer gives, through what keeps factors of channels; or None."""
    layer = layer_of(node)
    if layer is None or layer.has_other_bias or (node.op_type == "MatMul"):
        return None
    between: list[ir.Node] = []
    value = node.outputs[0]
    while read_once(value):
        use = next(iter(value.uses()))
        reader = use.node
        if reader in layers and use.idx == 0 and reader.graph is node.graph:
            second = layer_of(reader)
            fits = second is not None and second.in_channels == layer.channels
            return Pair(node, reader, tuple(between)) if fits else None
        if use.idx != 0 or len(reader.outputs) != 1 or not _scales(reader, node, between):
            return None
        between.append(reader)
        value = reader.outputs[0]
    return None


def _scales(node: ir.Node, first: ir.Node, between: list[ir.Node]) -> bool:
    """Whether a channel of the node's output is multiplied by what that of its input is."""
    if is_op(node, "Flatten"):      # behind a global pool a channel is one number
        return bool(attribute(node, "axis", 1) == 1) and any(is_op(each, "GlobalAveragePool", "GlobalMaxPool")
                                                            for each in between)
    if is_op(node, "Clip"):
        low = scalar(node.inputs[1]) if len(node.inputs) > 1 else None
        high = scalar(node.inputs[2]) if len(node.inputs) > 2 else None
        return low == 0 and high is not None and first.op_type == "Conv"
    return is_op(node, *SCALING_OPS)


def _out_ranges(layer: Layer) -> Vector:
    weight = np.abs(layer.weight).astype(np.float64)
    if layer.node.op_type == "ConvTranspose" and layer.groups > 1:
        split = weight.reshape(layer.groups, -1, *weight.shape[1:])
        return np.asarray(split.max(axis=(1, *range(3, split.ndim))).reshape(-1))
    return np.asarray(np.moveaxis(weight, layer.out_axis, 0).reshape(layer.channels, -1).max(axis=1, initial=0))


def _in_ranges(layer: Layer) -> Vector:
    weight = np.abs(layer.weight).astype(np.float64)
    if layer.node.op_type == "Conv":
        split = weight.reshape(layer.groups, -1, *weight.shape[1:])
        return np.asarray(split.max(axis=(1, *range(3, split.ndim))).reshape(-1))
    axis = 0 if layer.node.op_type == "ConvTranspose" else 1 - layer.out_axis
    return np.asarray(np.moveaxis(weight, axis, 0).reshape(layer.in_channels, -1).max(axis=1, initial=0))


def scale_pair(pair: Pair, factor: Vector) -> None:
    """Multiplies the channels that the first layer gives by `factor`, and divides those that the second one reads."""
    first, second = layer_at(pair.first), layer_at(pair.second)
    bias = first.bias
    set_constant(first.node, 1, first.scaled(factor), "equalized")
    if bias is not None:
        set_constant(first.node, 2, np.asarray(bias.astype(np.float64) * factor, np.float32), "equalized")
    set_constant(second.node, 1, second.input_scaled(1 / factor), "equalized")


def clip_channels(node: ir.Node, factor: Vector) -> None:
    """A Clip from 0 to a number, whose channels have been multiplied by `factor`."""
    graph, high, spatial = graph_of(node), scalar(node.inputs[2]), node.inputs[0].shape  # type: ignore[union-attr]
    assert high is not None
    axes = 1 if spatial is None else max(spatial.rank() - 2, 0)
    ends = np.asarray(high * factor, np.float32).reshape(-1, *[1] * axes)
    relu = ir.node("Relu", [node.inputs[0]], name=free_node_name(graph, f"{node.name}.relu"))
    relu.outputs[0].shape, relu.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    graph.insert_before(node, relu)
    most = ir.node("Min", [relu.outputs[0], new_constant(graph, ends, f"{node.name}.ends")],
                   name=free_node_name(graph, f"{node.name}.min"))
    substitute(node, most)

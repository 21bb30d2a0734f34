"""Equalised input channels of depthwise convolutions, which share one range: SmoothQuant where it costs nothing.

Weights with a range for each output channel do not mind when a layer's output channels are multiplied by factors, and
those of a depthwise convolution not when its input channels are divided by them. What lies between is rounded with one
range for all channels: it has less noise the more alike they are. Behind an activation that factors do not go through,
such as HardSwish, they go into constants that it is multiplied by and that are added to it, where there are some.

Factors are those of Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant (2022), equation 4, of the activations alone with
alpha = 0.75, so that a channel keeps room for values that no sample has shown. A ReLU6 between stays as it is: factors
are at least 1, so what it gives on the samples is what it gave times the factor, and beyond that lies more than the
range that the second layer's input has.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from ..._core.noise import decibels
from ...methods.equalization import ACTIVATION_ALPHA, activation_factor
from ...methods.gains import Gain
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..passes.affine import affine_of, data_input
from ..passes.editing import floats, is_op, rank, read_once, set_constant
from ..passes.layers import as_channels, layer_of
from ..placement.choices import Choices
from .equalizing import Pair, Vector, layer_at, pair_from, scale_pair


class _Read(NamedTuple):
    """What a layer reads: the largest magnitude of each channel, and the sum of its squares."""

    largest: Vector
    squares: Vector


class Affine(NamedTuple):
    """Additions and, last, a multiplication by constants that nothing but a layer reads, from that layer upwards."""

    second: ir.Node
    between: tuple[ir.Node, ...]


def equalizable(layers: Sequence[ir.Node], choices: Choices) -> list[Pair | Affine]:
    """The layers whose input channels may be multiplied by factors, and what takes these along."""
    pairs = [pair for node in layers if (pair := pair_from(node, set(layers))) and _suits(pair, choices)]
    paired = {pair.second for pair in pairs}
    affine = [found for node in layers if node not in paired and _reads_alone(node, choices)
              and (found := _affine_before(node))]
    return [*pairs, *affine]


def equalize_activations(model: ir.Model, layers: Sequence[ir.Node], samples: Sequence[Feeds],
                         choices: Choices) -> list[Gain]:
    """Multiplies channels ahead of depthwise convolutions by factors, in place; the model's function is unchanged.

    Behind a ReLU6, values above what the samples have shown may be cut off earlier.

    Args:
        layers: the nodes to be quantised.
        samples: inputs of the model.
    """
    found = equalizable(layers, choices)
    readers = {str(pair.second.inputs[0].name): pair.second for pair in found if pair.second.inputs[0] is not None}
    seen: dict[ir.Node, _Read] = {}

    def observe(name: str, array: Any) -> None:
        wide = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError("Expected finite inputs of layers, got NaN or infinity")
        largest, squares = np.abs(wide).max(axis=1, initial=0), np.square(wide).sum(axis=1)
        before = seen.get(readers[name])
        seen[readers[name]] = _Read(largest, squares) if before is None else \
            _Read(np.maximum(before.largest, largest), before.squares + squares)

    run = Interpreter(model.clone())
    for feeds in samples:
        run.run(feeds, [], observe, readers)
    return [_equalize(pair, seen[pair.second]) for pair in found if seen[pair.second].largest.max(initial=0) > 0]


def _suits(pair: Pair, choices: Choices) -> bool:
    """Whether the channels of both layers have ranges of their own, and the second one's are apart."""
    return pair.first.op_type == "Conv" and _has_ranges_apart(pair.first, choices) and \
        _reads_alone(pair.second, choices)


def _has_ranges_apart(node: ir.Node, choices: Choices) -> bool:
    weight = choices.descriptor(node, "weight")
    return weight.axis == 0 and weight.blocks is None


def _reads_alone(node: ir.Node, choices: Choices) -> bool:
    """Whether it is a depthwise convolution whose channels have ranges of their own."""
    layer = layer_of(node)
    return layer is not None and node.op_type == "Conv" and layer.groups == layer.in_channels > 1 and \
        _has_ranges_apart(node, choices)


def _affine_before(node: ir.Node) -> Affine | None:
    value, between = node.inputs[0], []
    axes, channels = rank(value), layer_at(node).in_channels
    while value is not None and read_once(value):
        source = value.producer()
        index = None if source is None or axes is None else data_input(source)
        if source is None or index is None or not is_op(source, "Add", "Sub", "Mul", "Div") or \
                not _has_channels(source.inputs[index], axes, channels) or \
                affine_of(source, index, axes, 1, channels) is None:
            return None
        between.append(source)
        if source.op_type in ("Mul", "Div"):
            return Affine(node, tuple(between))
        value = source.inputs[index]
    return None


def _has_channels(value: ir.Value | None, axes: int | None, channels: int) -> bool:
    return value is not None and value.shape is not None and rank(value) == axes and value.shape[1] == channels


def _scale_affine(found: Affine, factor: Vector) -> None:
    """Multiplies the channels that the layer reads by `factor`, and divides them in its weight."""
    for node in found.between:
        at = 1 - (data_input(node) or 0)
        constant, axes = floats(node.inputs[at]), rank(node.inputs[1 - at]) or 0
        assert constant is not None
        array = as_channels(constant, axes, 1, len(factor))
        assert array is not None        # it was so in `_affine_before`
        scaled = array / factor if node.op_type == "Div" else array * factor
        set_constant(node, at, scaled.astype(np.float32).reshape(-1, *[1] * (axes - 2)), "equalized")
    set_constant(found.second, 1, layer_at(found.second).input_scaled(1 / factor), "equalized")


def _equalize(pair: Pair | Affine, seen: _Read) -> Gain:
    factor = activation_factor(seen.largest, ACTIVATION_ALPHA)
    layer = layer_at(pair.second)
    weights = np.square(layer.weight, dtype=np.float64).reshape(len(factor), -1).sum(axis=1)
    signal = float(weights @ seen.squares)
    before, after = (decibels(signal, float((seen.largest * each).max() ** 2 * (weights / each ** 2).sum()))
                     for each in (np.ones_like(factor), factor))
    if isinstance(pair, Pair):
        scale_pair(pair, factor)
    else:
        _scale_affine(pair, factor)
    return Gain("activation_equalization", str(pair.second.name), before, after)

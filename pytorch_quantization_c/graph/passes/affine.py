"""Constant factors and summands, BatchNorm included, folded into the layer before or, where exact, after."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .editing import attribute, bypass, floats, is_op, only_reader, rank, read_once, scalar, set_constant
from .layers import Layer, as_channels, layer_of, output_rank

Vector = NDArray[np.float64]


class Affine(NamedTuple):
    """x * scale + shift, with one scale and one shift per channel."""

    scale: Vector
    shift: Vector


def fold_affine(model: ir.Model) -> None:
    """Folds affine nodes into the layer before them, repeatedly; then those that are left into the layer after them."""
    for node in tuple(model.graph):
        _plain_gemm(node)
    changed = True
    while changed:
        changed = any([_fold_into_producer(node) for node in tuple(model.graph) if node.graph is not None])
    changed = True
    while changed:
        changed = any([_fold_into_reader(node) for node in tuple(model.graph) if node.graph is not None])


def affine_of(node: ir.Node, index: int, axes: int | None, axis: int, channels: int) -> Affine | None:
    """The node as an affine function of its input `index` with one factor and one summand per channel, else None."""
    ones, zeros = np.ones(channels), np.zeros(channels)
    if is_op(node, "BatchNormalization"):
        return _batch_norm(node, channels) if index == 0 and axis % (axes or 2) == 1 else None
    if not is_op(node, "Add", "Sub", "Mul", "Div"):
        return None
    array = floats(node.inputs[1 - index])
    vector = None if array is None else as_channels(array, axes, axis, channels)
    if vector is None or (node.op_type == "Div" and (index == 1 or not vector.all())):
        return None
    constant = vector.astype(np.float64)
    if node.op_type in ("Mul", "Div"):
        return Affine(constant if node.op_type == "Mul" else 1 / constant, zeros)
    if node.op_type == "Sub":
        return Affine(-ones, constant) if index == 1 else Affine(ones, -constant)
    return Affine(ones, constant)


def _batch_norm(node: ir.Node, channels: int) -> Affine | None:
    found = [floats(value) for value in node.inputs[1:5]]
    if attribute(node, "training_mode", 0) or any(a is None or a.shape != (channels,) for a in found):
        return None
    gamma, beta, mean, variance = (np.asarray(a, np.float64) for a in found)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return Affine(scale, beta - mean * scale) if np.isfinite(scale).all() else None


def _plain_gemm(node: ir.Node) -> None:
    """Folds alpha and beta of a Gemm into its constant weight and bias."""
    if not is_op(node, "Gemm"):
        return
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    weight, bias = floats(node.inputs[1]), floats(node.inputs[2]) if len(node.inputs) > 2 else None
    if alpha != 1 and weight is not None:
        set_constant(node, 1, (weight * np.float64(alpha)).astype(np.float32))
        node.attributes.pop("alpha")
    if beta != 1 and bias is not None:
        set_constant(node, 2, (bias * np.float64(beta)).astype(np.float32))
        node.attributes.pop("beta")


def data_input(node: ir.Node) -> int | None:
    """Which input of an affine node is not constant."""
    if is_op(node, "BatchNormalization"):
        return 0
    if not is_op(node, "Add", "Sub", "Mul", "Div"):
        return None
    constant = [floats(value) is not None for value in node.inputs]
    return constant.index(False) if constant.count(False) == 1 else None


def _fold_into_producer(node: ir.Node) -> bool:
    index = data_input(node)
    value = None if index is None else node.inputs[index]
    if index is None or value is None or not read_once(value):
        return False
    layer = layer_of(value.producer())
    if layer is None or layer.has_other_bias or layer.node.graph is not node.graph:
        return False
    affine = affine_of(node, index, output_rank(layer), layer.channel_axis, layer.channels)
    if affine is None or (layer.node.op_type == "MatMul" and affine.shift.any()):
        return False
    weight, bias = layer.scaled(affine.scale), _shifted(layer, affine)
    if not np.isfinite(weight).all():
        return False
    name, out = node.outputs[0].name, layer.node.outputs[0]
    if not bypass(node, out):
        return False
    if not out.is_graph_output():
        out.name = name
    _give(layer, weight, bias)
    return True


def _shifted(layer: Layer, affine: Affine) -> Vector | None:
    before = layer.bias
    if before is None and not affine.shift.any():
        return None
    return (0 if before is None else before.astype(np.float64) * affine.scale) + affine.shift


def _give(layer: Layer, weight: NDArray[np.float32], bias: Vector | None) -> None:
    set_constant(layer.node, 1, weight)
    if bias is not None:
        set_constant(layer.node, 2, bias.astype(np.float32), "bias")


def _fold_into_reader(node: ir.Node) -> bool:
    """Folds an affine node into the only layer that reads it; its shift only if the layer does not pad with zeros."""
    index = data_input(node)
    reader = only_reader(node.outputs[0])
    layer = layer_of(reader)
    if index is None or layer is None or layer.node.inputs[0] is not node.outputs[0]:
        return False
    value = node.inputs[index]
    axes = rank(value)
    if value is None or value.shape is None or axes is None or axes != rank(node.outputs[0]) or \
            value.shape[layer.channel_axis] == 1 != layer.in_channels:     # a channel that is broadcast
        return False
    affine = affine_of(node, index, axes, layer.channel_axis, layer.in_channels)
    if affine is None or (affine.shift.any() and not _takes_shift(layer)):
        return False
    weight = layer.input_scaled(affine.scale)
    if not np.isfinite(weight).all():
        return False
    bias = _moved(layer, affine.shift) if affine.shift.any() else None
    if not bypass(node, value):
        return False
    _give(layer, weight, bias)
    return True


def _takes_shift(layer: Layer) -> bool:
    """Whether adding a constant to each input channel amounts to adding one to each output channel."""
    if layer.node.op_type == "Gemm":
        return not layer.has_other_bias
    pads = attribute(layer.node, "pads", [0])
    mode = attribute(layer.node, "auto_pad", "NOTSET")
    return layer.node.op_type == "Conv" and not layer.has_other_bias and not any(pads) and mode in ("NOTSET", "VALID")


def _moved(layer: Layer, shift: Vector) -> Vector:
    """The bias plus what the layer makes of a constant added to its input channels."""
    weight = layer.weight.astype(np.float64)
    if layer.node.op_type == "Gemm":
        added = weight @ shift if layer.out_axis == 0 else shift @ weight
    else:
        taps = weight.reshape(layer.groups, -1, weight.shape[1], int(np.prod(weight.shape[2:]))).sum(3)
        added = np.einsum("goi,gi->go", taps, shift.reshape(layer.groups, -1)).reshape(-1)
    before = layer.bias
    return added if before is None else before + added


def one_number(value: ir.Value | None) -> float | None:
    """The number in a constant of float32 with one element."""
    return None if floats(value) is None else scalar(value)

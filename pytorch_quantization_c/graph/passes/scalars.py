"""Constant scalar factors, such as those of attention scores, folded into the layer that produces the array."""
from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .editing import bypass, floats, is_op, rank, read_once, scalar, set_constant
from .layers import Layer, layer_of

__all__ = ["fold_scalars"]

MOVES = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def fold_scalars(model: ir.Model) -> None:
    """Folds a multiplication or division by one number into the weights of the layer that produces its input.

    In between there may be nodes that only move numbers, and products of two activations, either of which takes it.
    """
    for node in tuple(model.graph):
        value, factor = _factor(node)
        if value is not None and factor is not None and _scaled(value, factor):
            bypass(node, value)


def _factor(node: ir.Node) -> tuple[ir.Value | None, float | None]:
    """The value that a node multiplies by a number, and the number, which is neither 0 nor infinite; else None."""
    if not is_op(node, "Mul", "Div") or node.outputs[0].is_graph_output():
        return None, None
    for index in (1, 0) if node.op_type == "Mul" else (1,):
        value, number = node.inputs[1 - index], scalar(node.inputs[index])
        if number is None or value is None or floats(node.inputs[index]) is None or floats(value) is not None:
            continue
        if (rank(node.inputs[index]) or 0) > (rank(value) or 0):
            continue
        factor = np.float64(number) if node.op_type == "Mul" else np.divide(1.0, np.float64(number))
        if np.isfinite(factor) and factor != 0:
            return value, float(factor)
    return None, None


def _scaled(value: ir.Value, factor: float) -> bool:
    """Folds the factor into what produces the value; whether that was possible."""
    left = [value]
    while left:
        each = left.pop()
        node = each.producer()
        if node is None or not read_once(each):
            continue
        layer = layer_of(node)
        if layer is not None:
            if not layer.has_other_bias and _give(layer, factor):
                return True
        elif is_op(node, *MOVES, "MatMul"):
            sources = node.inputs if is_op(node, "MatMul") else node.inputs[:1]
            left.extend(source for source in reversed(sources) if source is not None and floats(source) is None)
        elif is_op(node, "Add") and _scaled_sum(node, factor):
            return True
    return False


def _scaled_sum(node: ir.Node, factor: float) -> bool:
    """Scales a layer whose bias is a separate Add."""
    for index in (0, 1):
        bias, other = floats(node.inputs[index]), node.inputs[1 - index]
        layer = None if bias is None or other is None or not read_once(other) else layer_of(other.producer())
        if layer is None or bias is None or layer.has_other_bias:
            continue
        shifted = (bias * np.float64(factor)).astype(np.float32)
        if np.isfinite(shifted).all() and _give(layer, factor):
            set_constant(node, index, shifted)
            return True
    return False


def _give(layer: Layer, factor: float) -> bool:
    weight = layer.scaled(np.full(layer.channels, factor))
    bias = None if layer.bias is None else (layer.bias * np.float64(factor)).astype(np.float32)
    if not np.isfinite(weight).all() or (bias is not None and not np.isfinite(bias).all()):
        return False
    set_constant(layer.node, 1, weight)
    if bias is not None:
        set_constant(layer.node, 2, bias, "bias")
    return True

"""Decomposed layer normalisation: (x - mean) / sqrt(variance + epsilon), times a scale, plus a bias."""
from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..representation.constants import new_constant
from .editing import attribute, floats, graph_of, is_op, only_reader, rank, reduced_axes, scalar, substitute


def layer_norm(root: ir.Node) -> bool:
    """Rewrites the normalisation over the last axis whose square root `root` is."""
    divided = only_reader(root.outputs[0])
    x, epsilon = _normalised(root, divided)
    if x is None or divided is None or x.shape is None or not isinstance(x.shape[-1], int):
        return False
    channels = x.shape[-1]
    last, scale = _followed(divided, "Mul", channels)  # pyright: ignore
    last, bias = _followed(last, "Add", channels)  # pyright: ignore
    graph = graph_of(divided)
    scale = np.ones(channels, np.float32) if scale is None else scale  # pyright: ignore
    inputs = [x, new_constant(graph, scale, f"{last.name}_scale")]
    if bias is not None:
        inputs.append(new_constant(graph, bias, f"{last.name}_bias"))
    substitute(last, ir.node("LayerNormalization", inputs, attributes={"axis": -1, "epsilon": epsilon},
                             name=last.name))
    return True


def _normalised(root: ir.Node, divided: ir.Node | None) -> tuple[ir.Value | None, float]:
    """The value that is normalised, and epsilon; None if the nodes are no layer normalisation."""
    nothing = None, 0.0
    if divided is None or not is_op(divided, "Div") or divided.inputs[1] is not root.outputs[0]:
        return nothing
    summed = None if root.inputs[0] is None else root.inputs[0].producer()
    if summed is None or not is_op(summed, "Add"):
        return nothing
    numbers = [scalar(value) for value in summed.inputs]
    variance, epsilon = (summed.inputs[0], numbers[1]) if numbers[1] is not None else (summed.inputs[1], numbers[0])
    squared = _mean_of(variance)
    centred = None if squared is None else _square_of(squared)
    x, other = _centred(centred), _centred(divided.inputs[0])
    if epsilon is None or x is None or x is not other:
        return nothing
    return x, epsilon


def _mean_of(value: ir.Value | None) -> ir.Value | None:
    """x, where the value is the mean of x over the last axis, with that axis kept."""
    node = None if value is None else value.producer()
    if node is None or not is_op(node, "ReduceMean") or not attribute(node, "keepdims", 1):
        return None
    found, axes = node.inputs[0], reduced_axes(node)
    return found if axes in ([-1], [(rank(found) or 0) - 1]) else None


def _square_of(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    if node is None:
        return None
    if is_op(node, "Pow") and scalar(node.inputs[1]) == 2:
        return node.inputs[0]
    return node.inputs[0] if is_op(node, "Mul") and node.inputs[0] is node.inputs[1] else None


def _centred(value: ir.Value | None) -> ir.Value | None:
    """x, where the value is x minus its mean."""
    node = None if value is None else value.producer()
    if node is None or not is_op(node, "Sub") or _mean_of(node.inputs[1]) is not node.inputs[0]:
        return None
    return node.inputs[0]


def _followed(node: ir.Node, op_type: str, channels: int) -> tuple[ir.Node, np.ndarray | None]:
    """The node after this one, if an `op_type` with one number per channel, and the numbers; else this node, None."""
    reader = only_reader(node.outputs[0])
    if reader is None or not is_op(reader, op_type):
        return node, None
    other = reader.inputs[1] if reader.inputs[0] is node.outputs[0] else reader.inputs[0]
    array = floats(other)
    if array is None or array.size != channels or array.shape[-1:] != (channels,):
        return node, None
    return reader, array.reshape(-1)

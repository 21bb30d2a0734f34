"""Shapes inferred and constants folded, by onnxscript's optimizer."""
from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass
from onnxscript import optimizer

MAX_ELEMENTS = 1 << 26     # a larger constant stays an expression
MAX_FILLED = 1 << 16       # a larger constant of one number does


def fold_constants(model: ir.Model) -> None:
    """Computes what depends on constants alone, shapes of static values included; unread values are removed.

    A file may say of an output that it has another number of axes than it has, which is seen once shapes are known:
    then the inferred one is used.
    """
    declared = [value.shape for value in model.graph.outputs]
    for value in model.graph.outputs:
        value.shape = None if value.producer() is not None else value.shape
    ShapeInferencePass(check_type=False, strict_mode=False)(model)
    optimizer.fold_constants(model, onnx_shape_inference=True, input_size_limit=MAX_ELEMENTS,
                             output_size_limit=MAX_ELEMENTS, should_fold=_foldable)
    RemoveUnusedNodesPass()(model)
    for value, shape in zip(model.graph.outputs, declared, strict=True):
        if shape is not None and (value.shape is None or len(value.shape) == len(shape)):
            value.shape = shape


def _foldable(node: ir.Node) -> bool | None:
    """Whether a node on constants is computed; None leaves it to the optimizer's rules (never random numbers)."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "DequantizeLinear":
        return True
    if node.op_type == "ConstantOfShape":
        shape = node.inputs[0].const_value if node.inputs[0] is not None else None
        return shape is not None and 0 <= math.prod(shape.numpy().tolist()) <= MAX_FILLED or None
    return None

"""Shapes inferred and constants folded, by onnxscript's optimizer."""
from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass
from onnxscript import optimizer

MOST_ELEMENTS = 1 << 26     # a larger constant stays an expression


def fold_constants(model: ir.Model) -> None:
    """Computes what depends on constants alone, shapes of static values included; what nobody reads is removed."""
    ShapeInferencePass(check_type=False, strict_mode=False)(model)
    optimizer.fold_constants(model, onnx_shape_inference=True, input_size_limit=MOST_ELEMENTS,
                             output_size_limit=MOST_ELEMENTS, should_fold=_foldable)
    RemoveUnusedNodesPass()(model)


def _foldable(node: ir.Node) -> bool | None:
    """Whether a node on constants is computed; None leaves it to the optimizer's rules (never random numbers)."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "DequantizeLinear":
        return True
    return None

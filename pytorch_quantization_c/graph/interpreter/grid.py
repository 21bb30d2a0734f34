"""Which quantiser produced the numbers of a value, also through operators that only move them."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..nodes import Quantizer, is_quantizer, quantizer
from .table import attribute, constant

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["MOVES", "quantizer_behind"]

MOVES = frozenset({"DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "Identity", "MaxPool",
                   "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"})
DEEPEST = 64  # chain of such operators that is looked through


def _only_moves(node: ir.Node) -> bool:
    """Whether every number of the output is one of the first input, or 0."""
    if node.domain != "":
        return False
    if node.op_type == "Pad":
        fill = node.inputs[2] if len(node.inputs) > 2 else None
        zero = constant(node, 2)
        plain = fill is None or (zero is not None and not np.any(zero))
        return plain or attribute(node, "mode", "constant") != "constant"
    if node.op_type == "Resize":
        return bool(attribute(node, "mode", "nearest") == "nearest"
                    and attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize")
    return node.op_type in MOVES


def _same(first: Quantizer, other: Quantizer) -> bool:
    return first.spec == other.spec and np.array_equal(np.asarray(first.amax), np.asarray(other.amax))


def quantizer_behind(value: ir.Value | None, depth: int = 0) -> Quantizer | None:
    """The quantiser whose output a value is or consists of; None if there is none, or several that differ.

    Quantising such a value once more changes nothing, so that a layer may take its integers from it. Through other
    operators only quantisers with one constant range are found.
    """
    node = None if value is None else value.producer()
    if node is None or depth > DEEPEST:
        return None
    if is_quantizer(node):
        found = quantizer(node)
        return found if depth == 0 or (found.amax is not None and found.spec.axis is None) else None
    if node.op_type == "Concat" and node.domain == "":
        parts = [quantizer_behind(each, depth + 1) for each in node.inputs]
        first = parts[0] if parts else None
        return first if first is not None and all(part and _same(first, part) for part in parts) else None
    return quantizer_behind(node.inputs[0], depth + 1) if _only_moves(node) else None

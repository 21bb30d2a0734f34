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
MAX_LOOKED = 256  # values that are looked through


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


def quantizer_behind(value: ir.Value | None) -> Quantizer | None:
    """The quantiser whose output a value is or consists of; None if there is none, or several that differ.

    Quantising such a value once more changes nothing, so that a layer may take its integers from it. Through other
    operators only quantisers with one constant range are found.
    """
    node = None if value is None else value.producer()
    if node is not None and is_quantizer(node):
        return quantizer(node)
    first, seen, left = None, {value}, [node]
    while left:
        node = left.pop()
        if node is None or len(seen) > MAX_LOOKED:
            return None
        if is_quantizer(node):
            found = quantizer(node)
            if found.amax is None or found.spec.axis is not None or not _same(first or found, found):
                return None
            first = first or found
        elif (node.op_type == "Concat" and node.domain == "") or _only_moves(node):
            sources = node.inputs if node.op_type == "Concat" else node.inputs[:1]
            fresh = [each for each in dict.fromkeys(sources) if each not in seen]
            seen.update(fresh)
            left.extend(None if each is None else each.producer() for each in reversed(fresh))
        else:
            return None
    return first

"""Which nodes permute elements of float arrays, or multiply two activations."""
from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.rows import product_of
from ..interpreter.table import attribute, constant
from ..representation.notes import NUMPY
from .chains import is_float
from .moves import split_sizes
from .natures import rank_of
from .strided import AXES

__all__ = ["is_flipped", "is_product", "kind_of", "moved_of", "parts_of", "sized_kind", "sized_of",
           "transposed"]

Numbers = tuple[str, list[int]]


def _standard(node: ir.Node) -> bool:
    return node.domain in ("", "ai.onnx") and NUMPY not in node.metadata_props


def _integers(node: ir.Node, number: int, name: str = "") -> list[int] | None:
    """A constant input, or an attribute of older opsets; None if it is neither."""
    found: Any = attribute(node, name) if name else None
    if number < len(node.inputs) and node.inputs[number] is not None:
        found = constant(node, number)
    return None if found is None else [int(each) for each in np.asarray(found).reshape(-1)]


def transposed(node: ir.Node | None) -> list[int] | None:
    """The axes of a Transpose of floats."""
    return None if node is None or not _standard(node) or not is_float(node.inputs[0]) else _transposed(node)


def _transposed(node: ir.Node) -> list[int] | None:
    rank = rank_of(node.inputs[0])
    if rank is None or node.op_type != "Transpose":
        return None
    order = attribute(node, "perm")
    return list(range(rank))[::-1] if order is None else [int(axis) for axis in order]


def _reshape(node: ir.Node) -> Numbers | None:
    shape = _integers(node, 1)
    return None if shape is None else ("reshape", [int(attribute(node, "allowzero", 0)), *shape])


def _axes(node: ir.Node) -> list[int] | None:
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    found = _integers(node, 1, "axes")
    return [] if found is None and not given else found


def _slice(node: ir.Node) -> Numbers | None:
    rank = rank_of(node.inputs[0]) or 0
    starts, ends = _integers(node, 1, "starts"), _integers(node, 2, "ends")
    if starts is None or ends is None:
        return None
    axes, steps = _integers(node, 3, "axes"), _integers(node, 4)
    if any(axis is None and number < len(node.inputs) and node.inputs[number] is not None
           for number, axis in ((3, axes), (4, steps))):
        return None
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    if min(steps, default=1) < 1 or len({axis % rank for axis in axes}) != len(axes):
        return None
    limit = 2 ** 31 - 1
    return "slice", [number for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
                     for number in (axis % rank, *(min(max(place, -limit), limit) for place in (start, end)), step)]


def _expand(node: ir.Node) -> Numbers | None:
    shape = _integers(node, 1)
    return None if shape is None else ("expand", shape)


def kind_of(node: ir.Node) -> Numbers | None:
    """The kind and numbers of `strided.Moved` for a node that moves elements of whatever type, or None."""
    op = node.op_type
    if op == "Reshape":
        return _reshape(node)
    if op == "Flatten":
        return "flatten", [int(attribute(node, "axis", 1))]
    if op == "Identity" or (op == "Cast" and node.outputs[0].dtype == node.inputs[0].dtype):  # type: ignore[union-attr]
        return "unsqueeze", []  # nothing
    if op in ("Squeeze", "Unsqueeze"):
        axes = _axes(node)
        return None if axes is None else (op.lower(), axes)
    if op == "Slice":
        return _slice(node)
    if op == "Expand":
        return _expand(node)
    if op == "Concat":
        return "concat", [int(attribute(node, "axis", 1))]
    order = _transposed(node)
    return None if order is None else ("transpose", order)


def moved_of(node: ir.Node, reads: Sequence[ir.Value | None]) -> Numbers | None:
    """The kind and numbers of `strided.Moved`, and the number of inputs that it reads; None for any other node."""
    values = [reads[0]] if node.op_type != "Concat" and reads else list(reads)
    if not _standard(node) or not values or len(node.outputs) != 1 or not all(map(is_float, values)):
        return None
    if not is_float(node.outputs[0]) or max(rank_of(each) or 9 for each in (*values, *node.outputs)) > AXES:
        return None
    return kind_of(node)


def sized_of(node: ir.Node, fixed: Container[ir.Value | None]) -> Numbers | None:
    """As `moved_of` of a Reshape or an Expand, without the shape: it is a value that the inputs' shapes determine."""
    return sized_kind(node, fixed) if all(map(is_float, (node.inputs[0], node.outputs[0]))) else None


def sized_kind(node: ir.Node, fixed: Container[ir.Value | None]) -> Numbers | None:
    """As `sized_of`, of values of whatever type."""
    if node.op_type not in ("Reshape", "Expand") or not _standard(node) or node.inputs[1] not in fixed:
        return None
    if max(rank_of(each) or 9 for each in (node.inputs[0], node.outputs[0])) > AXES:
        return None
    return ("expand", []) if node.op_type == "Expand" else ("reshape", [int(attribute(node, "allowzero", 0))])


def parts_of(node: ir.Node) -> list[Numbers] | None:
    """As `moved_of`, for each output of a Split of floats."""
    if node.op_type != "Split" or not _standard(node) or not all(map(is_float, (node.inputs[0], *node.outputs))):
        return None
    sizes, rank = split_sizes(node), rank_of(node.inputs[0]) or 0
    if sizes is None or rank > AXES:
        return None
    axis, ends = attribute(node, "axis", 0) % rank, np.cumsum(sizes).tolist()
    return [("slice", [axis, end - size, end, 1]) for end, size in zip(ends, sizes, strict=True)]


def is_flipped(node: ir.Node) -> bool:
    """Whether a product is by the transpose of its second operand."""
    return node.op_type == "Einsum" and product_of(attribute(node, "equation", "")) is True


def _have_same_batch(node: ir.Node) -> bool:
    """Whether both operands are known to have the same axes before those of matrices."""
    a, b = (None if value is None else value.shape for value in node.inputs)
    return a is not None and b is not None and len(a) == len(b) and all(
        n == m and (isinstance(n, int) or n.value is not None) for n, m in zip(a[:-2], b[:-2], strict=True))


def is_product(node: ir.Node) -> bool:
    """Whether a node multiplies matrices of floats that `_C.matmul` multiplies in the interpreter as well."""
    if not _standard(node) or len(node.inputs) != 2 or not all(map(is_float, (*node.inputs, *node.outputs))):
        return False
    ranks = [rank_of(each) or 0 for each in node.inputs]
    if node.op_type == "Einsum":
        return product_of(attribute(node, "equation", "")) is not None and max(ranks) <= AXES and _have_same_batch(node)
    return node.op_type == "MatMul" and min(ranks) >= 2 and (max(ranks) <= 4 or (
        max(ranks) <= AXES and _have_same_batch(node)))

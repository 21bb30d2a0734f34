"""Which truth values (comparisons, logic) a program represents as floats that are 1 or 0."""
from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..representation.notes import NUMPY
from .chains import is_float
from .gather_nodes import gathering_of, locating_of
from .strided import AXES
from .strided_nodes import kind_of, sized_kind

__all__ = ["MAX_AXES", "MOVES", "TWO", "has_type", "is_fixed_truth", "is_given", "is_small_integer", "truths_of"]

#: Of two operands: the operation, and whether they change places.
TWO = {"And": ("mul", False), "Or": ("max", False), "Less": ("less", False), "LessOrEqual": ("less_or_equal", False),
       "Greater": ("less", True), "GreaterOrEqual": ("less_or_equal", True), "Equal": ("equal", False)}
LOGIC = {"And", "Or", "Not"}
MOVES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Expand", "Concat", "Transpose"}
MAX_AXES = 4  # of a chain


def has_type(value: ir.Value | None, dtype: ir.DataType, most: int = AXES) -> bool:
    """Whether a value has this type and a known number of axes, not more than `most`."""
    return (value is not None and value.dtype == dtype and value.shape is not None
            and 0 < len(value.shape) <= most)


def is_given(value: ir.Value | None, *dtypes: ir.DataType) -> bool:
    """Whether a value is a constant that a chain can read, of one of these types."""
    return (value is not None and value.const_value is not None and not value.is_graph_input()
            and value.const_value.dtype in dtypes and value.const_value.size > 0
            and len(value.const_value.shape) <= MAX_AXES)


def is_fixed_truth(value: ir.Value | None, fixed: Container[ir.Value | None]) -> bool:
    """Whether a truth value is one that the shapes of the inputs determine, which a chain can read as floats."""
    return value in fixed and has_type(value, ir.DataType.BOOL, MAX_AXES)


def is_small_integer(value: ir.Value | None) -> bool:
    """Whether a value is a constant of int64 that float32 has, as it has no other number that rounds to it."""
    if not is_given(value, ir.DataType.INT64) or value is None or value.const_value is None:
        return False
    return bool(abs(value.const_value.numpy().astype(np.float64)).max() < 2 ** 24)


def _has_integers(inputs: Sequence[ir.Value | None]) -> bool:
    """Whether int64 is compared with such constants: as floats they compare the same."""
    return any(has_type(a, ir.DataType.INT64, MAX_AXES) and not is_given(a, ir.DataType.INT64) and is_small_integer(b)
               for a, b in (inputs, inputs[::-1]))


def truths_of(steps: Iterable[Any], fixed: Container[ir.Value | None]) -> set[ir.Value]:
    """The truth values that a program represents as floats, other than those that shapes determine (`fixed`)."""
    found: set[ir.Value] = set()
    for step in steps:
        if step.execution == "float" and step.outputs[0] not in fixed and _is_truth(step.node, found, fixed):
            found.add(step.outputs[0])
    return found


def _is_truth(node: ir.Node, found: set[ir.Value], fixed: Container[ir.Value | None]) -> bool:
    def known(value: ir.Value | None) -> bool:
        return value in found or is_fixed_truth(value, fixed)

    if (node.domain not in ("", "ai.onnx") or NUMPY in node.metadata_props or len(node.outputs) != 1
            or not has_type(node.outputs[0], ir.DataType.BOOL)):
        return False
    op, inputs = node.op_type, list(node.inputs)
    few = has_type(node.outputs[0], ir.DataType.BOOL, MAX_AXES)
    if op == "Cast":
        return has_type(inputs[0], ir.DataType.INT64) or (few and is_float(inputs[0])) or known(inputs[0])
    if op in LOGIC:
        return few and all(known(each) or is_given(each, ir.DataType.BOOL) for each in inputs)
    if op in TWO and _has_integers(inputs):
        return few
    if op in TWO:
        return few and all(is_float(each) or is_given(each, ir.DataType.FLOAT) for each in inputs)
    if op == "GatherND":
        return known(inputs[0]) and locating_of(node)
    if op in ("Gather", "GatherElements"):
        return known(inputs[0]) and gathering_of(node) is not None
    if op in MOVES:
        values = inputs if op == "Concat" else inputs[:1]
        return all(map(known, values)) and (kind_of(node) or sized_kind(node, fixed)) is not None
    return False

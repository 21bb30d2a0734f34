"""Lowering of masks (comparisons, logic, Where) to operations on floats that are 1 or 0."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..representation.notes import NUMPY
from .chains import is_float
from .gather_lowering import gather
from .integers import Integers
from .natures import rank_of
from .operations import MAX_OPERANDS, Chain, ChainOp, Key, array_of
from .strided import Moved
from .strided_nodes import kind_of, sized_kind
from .truths import MAX_AXES, MOVES, TWO, has_type, is_given, is_small_integer

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_masks", "lower_truths"]


def lower_truths(lowering: Lowering, step: Any, key: Key) -> None:
    """Lowers a step whose output is one of them, and wanted as floats."""
    node, name = step.node, step.node.name or step.outputs[0].name or ""
    op, inputs = node.op_type, list(node.inputs)
    if op in ("Gather", "GatherElements", "GatherND"):
        gather(lowering, node, key).input = lowering.want_truth(inputs[0])
    elif op in MOVES:
        kind = kind_of(node)
        sized = sized_kind(node, lowering.fixed) if kind is None else None
        lowering.operations.append(moved := Moved(name, *(kind or sized or ("", [])), [], key))
        moved.inputs = [lowering.want_truth(each) for each in (inputs if op == "Concat" else inputs[:1])]
        moved.given = None if sized is None else lowering.want(inputs[1])
    elif op == "Cast" and has_type(inputs[0], ir.DataType.INT64):
        _converted(lowering, name, inputs[0], key, True)
    elif op == "Cast" and lowering.is_truth(inputs[0]):
        _chain(lowering, name, key, [inputs[0]], [])
    elif op in ("Cast", "Not"):  # not equal to 0
        turned = ChainOp("from_number", 5 if op == "Cast" else 0, 0, 4, 1.0)
        zero: list[Any] = [np.zeros(1, np.float32)] if op == "Cast" else []
        equal = [ChainOp("equal", 0, 1, 5)] if op == "Cast" else []
        _chain(lowering, name, key, [inputs[0], *zero], [*equal, turned])
    else:
        kind_name, exchanged = TWO[op]
        _chain(lowering, name, key, inputs[::-1] if exchanged else inputs, [ChainOp(kind_name, 0, 1, 4)])


def _chain(lowering: Lowering, name: str, key: Key, operands: Sequence[Any], operations: list[ChainOp]) -> None:
    made = Chain(name, [], operations, [key], image=False)
    lowering.operations.append(made)
    for each in operands:
        if isinstance(each, ir.Value) and (is_given(each, ir.DataType.BOOL, ir.DataType.FLOAT)
                                           or is_small_integer(each)):
            assert each.const_value is not None
            each = each.const_value.numpy().astype(np.float32)
        if not isinstance(each, ir.Value):
            made.operands.append(lowering.constant(each.reshape(each.shape or (1,))))
        else:
            made.operands.append(lowering.want_truth(each) if lowering.is_truth(each) else
                                 _floats_of(lowering, name, each) if each.dtype == ir.DataType.INT64 else
                                 lowering.want(each))


def _converted(lowering: Lowering, name: str, value: ir.Value, key: Key, truths: bool) -> None:
    """Numbers of int64 as floats or as truth values; what only moves them moves those instead."""
    maker = lowering.makers.get(value)
    node = None if maker is None or value in lowering.fixed else maker.node
    kind = kind_of(node) if node is not None and node.op_type in MOVES - {"Concat"} and node.domain == "" else None
    if node is not None and kind is not None and has_type(node.inputs[0], ir.DataType.INT64):
        source = array_of(lowering.fresh())
        lowering.operations.append(Moved(name, *kind, [source], key))
        _converted(lowering, name, node.inputs[0], source, truths)  # type: ignore[arg-type]
    else:
        lowering.operations.append(made := Integers(name, array_of(-1), key, truths))
        made.input = lowering.want(value)


def _floats_of(lowering: Lowering, name: str, value: ir.Value) -> Key:
    key = array_of(lowering.fresh())
    _converted(lowering, name, value, key, False)
    return key


def lower_masks(lowering: Lowering, step: Any) -> bool:
    """Lowers a Where by such values, and a Cast of them or of int64 to floats."""
    node, value = step.node, step.outputs[0]
    if step.execution != "float" or node.domain not in ("", "ai.onnx") or NUMPY in node.metadata_props:
        return False
    name, inputs = node.name or value.name or "", list(node.inputs)
    if node.op_type == "Cast" and is_float(value) and (has_type(inputs[0], ir.DataType.INT64) or (
            lowering.is_truth(inputs[0]) and (rank_of(value) or 9) <= MAX_AXES)):
        lowering.import_forms([value])
        key = array_of(lowering.number(value))
        if lowering.is_truth(inputs[0]):
            _chain(lowering, name, key, inputs, [])
        else:
            _converted(lowering, name, inputs[0], key, False)
        return True
    if (node.op_type != "Where" or not is_float(value) or (rank_of(value) or 9) > MAX_AXES
            or not (lowering.is_truth(inputs[0]) or is_given(inputs[0], ir.DataType.BOOL))
            or not all(is_float(each) or is_given(each, ir.DataType.FLOAT) for each in inputs[1:])
            or any(each is not None and each.dtype not in (None, ir.DataType.FLOAT) for each in inputs[1:])):
        return False
    lowering.import_forms([value])
    assert MAX_OPERANDS == 4  # the first register of results
    _chain(lowering, name, array_of(lowering.number(value)), inputs,
           [ChainOp("if", 1, 0, 4), ChainOp("unless", 2, 0, 5), ChainOp("either", 4, 5, 6)])
    return True

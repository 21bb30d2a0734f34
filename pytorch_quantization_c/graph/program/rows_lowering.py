"""Lowering of softmax, and of layer normalisation along the last axis of arrays."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .operations import Rows, array_of
from .row_functions import row_function
from .strided import Moved

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_rows"]


def lower_rows(lowering: Lowering, step: Any) -> bool:
    """Lowers such a step, unless more than its first output is needed."""
    value = step.outputs[0]
    found = row_function(step.node)
    if found is None or any(map(lowering.forms, step.outputs[1:])):
        return False
    if found.order is not None:
        _lower_turned(lowering, step, found.kind, found.order)
        return True
    weight, bias = (None if each is None else lowering.constant(each) for each in found.vectors)
    made = Rows(step.node.name or value.name or "", found.kind, array_of(-1), lowering.split(value, True), weight, bias,
                found.epsilon)
    lowering.operations.append(made)
    made.input = lowering.want(step.node.inputs[0])
    return True


def _lower_turned(lowering: Lowering, step: Any, kind: str, order: list[int]) -> None:
    """Rows along another axis: transposes it to the end, and back afterwards."""
    value = step.outputs[0]
    name = step.node.name or value.name or ""
    lowering.import_forms([value])
    rows, results = (array_of(lowering.fresh()) for _ in range(2))
    back = [order.index(axis) for axis in range(len(order))]
    lowering.operations.append(Moved(name, "transpose", back, [results], array_of(lowering.number(value))))
    lowering.operations.append(Rows(name, kind, rows, [results]))
    lowering.operations.append(Moved(name, "transpose", order, [lowering.want(step.node.inputs[0])], rows))

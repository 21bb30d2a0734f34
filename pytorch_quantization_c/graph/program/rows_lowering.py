"""Lowering of softmax and layer normalisation along the last axis of arrays."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .operations import Rows, array_of
from .row_functions import row_function

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_rows"]


def lower_rows(lowering: Lowering, step: Any) -> bool:
    """Lowers such a step, unless more than its first output is needed."""
    value = step.outputs[0]
    found = row_function(step.node)
    if found is None or any(map(lowering.forms, step.outputs[1:])):
        return False
    weight, bias = (None if each is None else lowering.constant(each) for each in found.vectors)
    made = Rows(step.node.name or value.name or "", found.kind, array_of(-1), lowering.split(value, True), weight, bias,
                found.epsilon)
    lowering.operations.append(made)
    made.input = lowering.want(step.node.inputs[0])
    return True

"""A Gather or GatherElements of floats becomes an operation of a program."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute, constant
from .gather import Gathered
from .operations import array_of

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_gather"]

OPERATORS = ("Gather", "GatherElements")


def lower_gather(lowering: Lowering, step: Any) -> bool:
    """Lowers a Gather of floats by int64 indices, or a GatherElements along the last axis."""
    node = step.node
    if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return False
    elements, axis = node.op_type == "GatherElements", int(attribute(node, "axis", 0))
    x, indices, value = node.inputs[0], node.inputs[1], step.outputs[0]
    given, rank = constant(node, 1), None if x.shape is None else len(x.shape)
    if given is not None:
        axes = given.ndim if given.dtype == np.int64 and given.size > 0 else None
    else:
        axes = None if indices.shape is None or indices.dtype != ir.DataType.INT64 else len(indices.shape)
    if x.dtype != ir.DataType.FLOAT or not rank or axes is None:
        return False
    if axes == 0 and (given is None or rank < 2):
        return False
    if elements and (axis not in (-1, rank - 1) or axes != rank):
        return False
    lowering.import_forms([value])
    made = Gathered(node.name or value.name or "", array_of(-1), array_of(-1), array_of(lowering.number(value)),
                    axis, axes > 0, elements)
    lowering.operations.append(made)
    made.input = lowering.want(x)
    if given is None:
        made.indices = lowering.want(indices)
    else:
        made.indices = array_of(lowering.fresh())
        lowering.more_constants[made.indices.value] = np.ascontiguousarray(given.reshape(given.shape or (1,)))
    return True

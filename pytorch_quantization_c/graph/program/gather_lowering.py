"""A Gather, GatherElements or GatherND of floats becomes an operation of a program."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..representation.notes import NUMPY
from .chains import is_float
from .gather import Gathered, Located
from .gather_nodes import gathering_of, locating_of, places_of
from .integers import Picked
from .operations import Key, array_of

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["gather", "lower_gather"]

OPERATORS = ("Gather", "GatherElements", "GatherND")


def lower_gather(lowering: Lowering, step: Any) -> bool:
    """Lowers such a node of floats by int64 indices."""
    node = step.node
    if (node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx") or step.execution != "float"
            or NUMPY in node.metadata_props or not is_float(node.inputs[0])):
        return False
    if not (locating_of(node) if node.op_type == "GatherND" else gathering_of(node) is not None):
        return False
    value = step.outputs[0]
    lowering.import_forms([value])
    made = gather(lowering, node, array_of(lowering.number(value)))
    made.input = lowering.want(node.inputs[0])
    return True


def gather(lowering: Lowering, node: ir.Node, key: Key) -> Gathered | Located | Picked:
    """The operation, still without an input."""
    name, indices = node.name or node.outputs[0].name or "", node.inputs[1]
    made: Gathered | Located | Picked
    if node.op_type == "GatherND" and (places := places_of(node)) is not None:
        made = Picked(name, array_of(-1), key, np.ascontiguousarray(places))
        lowering.operations.append(made)
        return made
    given = None
    if node.op_type == "GatherND":
        assert indices is not None and indices.shape is not None
        made = Located(name, array_of(-1), array_of(-1), key, int(indices.shape[-1]))  # type: ignore[arg-type]
    else:
        found = gathering_of(node)
        assert found is not None
        given, made = found.given, Gathered(name, array_of(-1), array_of(-1), key, *found[:3])
    lowering.operations.append(made)
    if given is None:
        assert indices is not None
        made.indices = lowering.want(indices)
    else:
        made.indices = array_of(lowering.fresh())
        lowering.more_constants[made.indices.value] = np.ascontiguousarray(given.reshape(given.shape or (1,)))
    return made

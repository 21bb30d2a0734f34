"""Lowering of InstanceNormalization and GroupNormalization."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..interpreter.norms import epsilon_of
from ..interpreter.plain import Plain
from ..interpreter.table import attribute
from .chains import is_float
from .norms import Normed
from .operations import array_of

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_norm"]

KINDS = ("GroupNormalization", "InstanceNormalization")


def lower_norm(lowering: Lowering, step: Any) -> bool:
    """Lowers such a step on floats."""
    node, value = step.node, step.outputs[0]
    if (node.op_type not in KINDS or node.domain not in ("", "ai.onnx") or not isinstance(step.compute, Plain)
            or not all(map(is_float, node.inputs))):
        return False
    lowering.import_forms([value])
    made = Normed(node.name or value.name or "", array_of(-1), array_of(lowering.number(value)), None, None,
                  int(attribute(node, "num_groups", 0)), epsilon_of(node))
    lowering.operations.append(made)
    made.input, made.weight, made.bias = map(lowering.want, node.inputs)
    return True

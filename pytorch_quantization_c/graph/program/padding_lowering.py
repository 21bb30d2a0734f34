"""Lowering of a Pad that repeats the array's own elements."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..interpreter.table import attribute, constant
from .chains import is_float
from .operations import array_of
from .padding import MAX_PADDING, MODES, Padded

if TYPE_CHECKING:
    from .lower import Lowering

__all__ = ["lower_padding"]


def lower_padding(lowering: Lowering, step: Any) -> bool:
    """Lowers a Pad of floats with constant pads that repeats the array's own elements."""
    node, value = step.node, step.outputs[0]
    if node.op_type != "Pad" or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return False
    mode, x, pads = attribute(node, "mode", "constant"), node.inputs[0], constant(node, 1)
    given = len(node.inputs) > 3 and node.inputs[3] is not None
    axes = constant(node, 3) if given else None
    if mode not in MODES or not is_float(x) or pads is None or (given and axes is None):
        return False
    rank = len(x.shape)
    chosen = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    amounts = [int(amount) for amount in pads]
    if len(amounts) != 2 * len(chosen) or len(set(chosen)) < len(chosen):
        return False
    if not 0 <= min(amounts) <= max(amounts) <= MAX_PADDING:
        return False
    steps = [(axis, before, after) for axis, before, after in
             zip(chosen, amounts[:len(chosen)], amounts[len(chosen):], strict=True) if before or after]
    if not steps:
        return False
    lowering.import_forms([value])
    name, made = node.name or value.name or "", list[Padded]()
    for axis, before, after in sorted(steps, reverse=True):
        target = array_of(lowering.number(value)) if not made else made[-1].input
        made.append(Padded(name, array_of(lowering.fresh()), target, axis, before, after, mode))
    lowering.operations.extend(made)
    made[-1].input = lowering.want(x)
    return True

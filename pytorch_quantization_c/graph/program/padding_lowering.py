"""Lowering of a Pad of floats."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute, constant
from .chains import is_float
from .operations import array_of
from .padding import MODES, Padded, PaddedImage
from .strided import AXES, MAX_PADDING, Moved

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_padding"]

Pads = list[tuple[int, int]]  # before and behind each axis


def _pads(node: ir.Node, rank: int) -> Pads | None:
    """What a node adds, or if negative cuts off, if that is constant."""
    pads, given = constant(node, 1), len(node.inputs) > 3 and node.inputs[3] is not None
    axes = constant(node, 3) if given else None
    if pads is None or (given and axes is None):
        return None
    chosen = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    amounts = [int(amount) for amount in pads]
    if len(amounts) != 2 * len(chosen) or len(set(chosen)) < len(chosen) or any(
            abs(amount) > MAX_PADDING for amount in amounts):
        return None
    found = [(0, 0)] * rank
    for axis, before, after in zip(chosen, amounts[:len(chosen)], amounts[len(chosen):], strict=True):
        found[axis] = before, after
    return found


def lower_padding(lowering: Lowering, step: Any) -> bool:
    """Lowers a Pad of floats with constant pads."""
    node = step.node
    if node.op_type != "Pad" or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return False
    mode, x = attribute(node, "mode", "constant"), node.inputs[0]
    pads = _pads(node, len(x.shape)) if is_float(x) else None
    if pads is None:
        return False
    if mode == "constant" or not any(map(any, pads)):
        return _lower_constant(lowering, step, pads)
    return mode in MODES and min(map(min, pads)) >= 0 and _lower_repeated(lowering, step, pads, mode)


def _lower_constant(lowering: Lowering, step: Any, pads: Pads) -> bool:
    node, value, x = step.node, step.outputs[0], step.reads[0]
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    found = constant(node, 2) if given else np.zeros(1, np.float32)
    if found is None or found.size != 1 or found.dtype != np.float32 or len(pads) > AXES:
        return False
    name, number = node.name or value.name or "", np.float32(found.reshape(()))
    images = len(pads) in (3, 4) and (value in lowering.images or all(
        key.form is not None and not key.matrix for key in lowering.forms(value)))
    if images and np.isfinite(number) and not any(map(any, pads[:2])) and min(map(min, pads)) >= 0:
        (top, bottom), (left, right) = ((0, 0), *pads)[-2:]
        for key in lowering.split(value, matrix=False):
            lowering.operations.append(PaddedImage(name, lowering.want(x, key.form), key, top, bottom, left, right,
                                                   float(number)))
        return True
    lowering.import_forms([value])
    if not any(map(any, pads)):
        lowering.operations.append(view := Moved(name, "unsqueeze", [], [], array_of(lowering.number(value))))
        view.inputs = [lowering.want(x)]
        return True
    made = Moved(name, "pad", [amount for pair in pads for amount in pair], [], array_of(lowering.number(value)))
    lowering.operations.append(made)
    made.inputs = [lowering.want(x), lowering.constant(np.full(1, number))]
    return True


def _lower_repeated(lowering: Lowering, step: Any, pads: Pads, mode: str) -> bool:
    node, value = step.node, step.outputs[0]
    lowering.import_forms([value])
    name, made = node.name or value.name or "", list[Padded]()
    for axis, (before, after) in reversed(list(enumerate(pads))):
        if before or after:
            target = array_of(lowering.number(value)) if not made else made[-1].input
            made.append(Padded(name, array_of(lowering.fresh()), target, axis, before, after, mode))
    lowering.operations.extend(made)
    made[-1].input = lowering.want(step.reads[0])
    return True

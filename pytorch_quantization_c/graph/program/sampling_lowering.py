"""Lowering of a Resize of floats: one operation for each axis that changes."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..interpreter.resize import sampling_of
from ..interpreter.table import attribute, constant
from .chains import is_float
from .natures import rank_of
from .operations import FLOATS, Key, array_of
from .sampling import MAX_SIZE, Sampled

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_sampling"]

Change = tuple[int, float | None, int | None]  # axis, factor, size


def _changes(node: ir.Node, rank: int) -> list[Change] | None:
    """The axes whose sizes may change, in the node's order; None if they are not known."""
    chosen = attribute(node, "axes")
    axes = list(range(rank)) if chosen is None else [int(axis) % rank for axis in chosen]
    scales, sizes = constant(node, 2), constant(node, 3)
    if sizes is not None and sizes.size == len(axes):
        known = node.inputs[0].shape if node.inputs[0] is not None else None
        found: list[Change] = [(axis, None, int(size)) for axis, size in zip(axes, sizes, strict=True)
                               if known is None or known[axis] != int(size)]
    elif scales is not None and scales.size == len(axes) and (len(node.inputs) < 4 or node.inputs[3] is None):
        decimals = [float(str(np.float32(scale))) for scale in scales]
        found = [(axis, scale, None) for axis, scale in zip(axes, decimals, strict=True) if scale != 1]
    else:
        return None
    fits = len(set(axes)) == len(axes) and all(0 < (factor or size or 0) <= MAX_SIZE for _, factor, size in found)
    return found if found and fits else None


def lower_sampling(lowering: Lowering, step: Any) -> bool:
    """Lowers a Resize of float32 by constant factors or to constant sizes."""
    node, value = step.node, step.outputs[0]
    if node.op_type != "Resize" or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return False
    x, sampling, rank = node.inputs[0], sampling_of(node), rank_of(value)
    changes = None if rank is None or not is_float(x) else _changes(node, rank)
    if changes is None or sampling is None:
        return False
    image = rank in (3, 4) and {axis for axis, _, _ in changes} <= {2, 3} and (
        value in lowering.images or all(key.form is not None and not key.matrix for key in lowering.forms(value)))
    outputs: list[Key]
    if image:
        outputs = lowering.split(value, matrix=False)
    else:
        lowering.import_forms([value])
        outputs = [array_of(lowering.number(value))]
    made: list[Sampled] = []  # the last one first, and its axis is the first
    for axis, factor, size in changes:
        targets = [made[-1].input] if made else outputs
        read = Key(lowering.fresh(), FLOATS if image else None)
        made.append(Sampled(node.name or value.name or "", read, targets, axis, *sampling, factor, size))
    lowering.operations.extend(made)
    made[-1].input = lowering.want(x, FLOATS if image else None)
    return True

"""Lowering of sums, means, extremes and norms of floats over axes."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..interpreter.reductions import axes_together
from ..interpreter.table import attribute, constant
from ..representation.notes import NUMPY
from .chains import is_float
from .natures import rank_of
from .operations import Chain, ChainOp, array_of
from .reductions import Reduced

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_reduction"]

SQUARE, ABSOLUTE, ROOT = ChainOp("mul", 0, 0, 4), ChainOp("abs", 0, 0, 4), ChainOp("sqrt", 0, 0, 4)
#: What becomes of each number before, the reduction, and what becomes of the results.
KINDS: dict[str, tuple[ChainOp | None, str, ChainOp | None]] = {
    "ReduceSum": (None, "sum", None), "ReduceMean": (None, "mean", None), "ReduceMax": (None, "max", None),
    "ReduceMin": (None, "min", None), "ReduceL1": (ABSOLUTE, "sum", None), "ReduceL2": (SQUARE, "sum", ROOT),
    "ReduceSumSquare": (SQUARE, "sum", None), "GlobalAveragePool": (None, "mean", None),
    "GlobalMaxPool": (None, "max", None)}


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    """The axes that are reduced; None if they are not known, or if there are none."""
    if node.op_type.startswith("Global"):
        return list(range(2, rank)) or None
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    found: Any = constant(node, 1) if given else attribute(node, "axes")
    if given and found is None:
        return None
    axes = [] if found is None else [int(axis) for axis in np.ravel(found)]
    if not axes and attribute(node, "noop_with_empty_axes", 0):
        return None
    return sorted({axis % rank for axis in axes}) if axes else list(range(rank))


def lower_reduction(lowering: Lowering, step: Any) -> bool:
    """Lowers a reduction of a float array over known axes, by one operation for all that follow each other."""
    node, value = step.node, step.outputs[0]
    if (node.op_type not in KINDS or node.domain not in ("", "ai.onnx") or step.execution != "float"
            or NUMPY in node.metadata_props or not is_float(value) or not is_float(node.inputs[0])):
        return False
    rank = rank_of(node.inputs[0])
    axes = None if rank is None else _axes(node, rank)
    if axes is None or rank is None:
        return False
    keep = node.op_type.startswith("Global") or bool(attribute(node, "keepdims", 1))
    before, kind, after = KINDS[node.op_type]
    name, source = node.name or value.name or "", lowering.want(step.reads[0])
    lowering.import_forms([value])
    made: list[Chain | Reduced] = []  # the first one first
    for operation in (before, *axes_together(axes), after):
        target = array_of(lowering.fresh())
        if isinstance(operation, ChainOp):
            made.append(Chain(name, [source], [operation], [target], image=False))
        elif operation is not None:
            made.append(Reduced(name, source, target, kind, *operation, keep))
        source = target if operation is not None else source
    last = made[-1]
    if isinstance(last, Chain):
        last.outputs = [array_of(lowering.number(value))]
    else:
        last.output = array_of(lowering.number(value))
    lowering.operations.extend(made[::-1])
    return True

"""Which nodes gather elements in ways that a program has kernels for, whatever the type of the elements."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute, constant
from .natures import rank_of
from .strided import AXES

__all__ = ["Gathering", "gathering_of", "locating_of", "places_of"]


class Gathering(NamedTuple):
    """See `gather.Gathered`; `given`: the indices, if they are constants."""

    axis: int
    whole: bool
    elements: bool
    given: Any


def gathering_of(node: ir.Node) -> Gathering | None:
    """A Gather by int64 indices, or a GatherElements along the last axis."""
    elements, axis = node.op_type == "GatherElements", int(attribute(node, "axis", 0))
    given, rank, indices = constant(node, 1), rank_of(node.inputs[0]), node.inputs[1]
    if given is not None:
        axes = given.ndim if given.dtype == np.int64 and given.size > 0 else None
    else:
        axes = rank_of(indices) if indices is not None and indices.dtype == ir.DataType.INT64 else None
    if not rank or axes is None or (axes == 0 and (given is None or rank < 2)):
        return None
    if elements and (axis not in (-1, rank - 1) or axes != rank):
        return None
    return Gathering(axis, axes > 0, elements, given)


def places_of(node: ir.Node) -> Any:
    """The constant indices of a GatherND, or None."""
    found = constant(node, 1)
    return found if found is not None and found.dtype == np.int64 and found.ndim and found.size else None


def locating_of(node: ir.Node) -> bool:
    """Whether a GatherND is by int64 indices of all arrays together, constant or not, and its result has axes."""
    rank, places, indices = rank_of(node.inputs[0]), places_of(node), node.inputs[1]
    if attribute(node, "batch_dims", 0) or rank is None:
        return False
    if places is not None:
        return bool(places.ndim > 1 or places.size < rank)
    if constant(node, 1) is not None or indices is None or indices.dtype != ir.DataType.INT64 or not indices.shape:
        return False
    last = indices.shape[-1]
    return isinstance(last, int) and 1 <= last <= min(AXES, rank if len(indices.shape) > 1 else rank - 1)

"""Which nodes only move pixels or channels of images."""
from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..interpreter.movement import equal_parts
from ..interpreter.resize import nearest_places_of
from ..interpreter.table import attribute, constant
from .chains import is_float
from .operations import Cut

__all__ = ["cuts_of", "depth_to_space", "is_channels_last", "joins_channels", "resize_factors",
           "split_sizes"]

MAX_FACTOR = 1024  # of rearrange_step.c
MAX_CUT = 2 ** 24  # largest start and step of a cut
INT_MAX = 2 ** 31 - 1  # the end of an axis as ONNX recommends to write it; longer than any axis of a program
TRIED = 50  # pixels of an axis
PERIODIC = ("half_pixel", "pytorch_half_pixel", "asymmetric")  # places that do not depend on the size


def _is(node: ir.Node, kind: str) -> bool:
    return node.op_type == kind and node.domain in ("", "ai.onnx")


def resize_factors(node: ir.Node) -> tuple[int, int] | None:
    """How often a Resize repeats each pixel along y and x; None if it does anything else."""
    scales = constant(node, 2) if _is(node, "Resize") else None
    if scales is None or scales.shape != (4,) or attribute(node, "mode", "nearest") != "nearest":
        return None
    if attribute(node, "coordinate_transformation_mode", "half_pixel") not in PERIODIC:
        return None
    if node.attributes.get("axes") is not None or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return None
    factors = [int(scale) for scale in scales]
    if any(scale != factor or not 1 <= factor <= MAX_FACTOR for scale, factor in zip(scales, factors, strict=True)):
        return None
    for factor in factors:
        places = nearest_places_of(node, TRIED, TRIED * factor, float(factor))
        if places is None or not np.array_equal(places, np.arange(TRIED * factor) // factor):
            return None
    return (factors[2], factors[3]) if factors[:2] == [1, 1] else None


def depth_to_space(node: ir.Node) -> int | None:
    """The block size of a DepthToSpace whose channels are ordered by pixel of the block; else None."""
    block = attribute(node, "blocksize") if _is(node, "DepthToSpace") else None
    return block if block and attribute(node, "mode", "DCR") == "DCR" and block <= MAX_FACTOR else None


def is_channels_last(node: ir.Node, rank: int | None) -> bool:
    """Whether a node makes images of a float array whose channels are its last axis."""
    return _is(node, "Transpose") and rank == 4 and tuple(attribute(node, "perm", ())) == (0, 3, 1, 2) and is_float(
        node.inputs[0])


def split_sizes(node: ir.Node) -> list[int] | None:
    """The sizes of a Split's outputs along its axis; None unless the axis has a known size, which is their sum."""
    shape, axis = None if node.inputs[0] is None else node.inputs[0].shape, attribute(node, "axis", 0)
    total = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    computed = len(node.inputs) > 1 and node.inputs[1] is not None
    given = constant(node, 1) if computed else attribute(node, "split")
    if not isinstance(total, int) or (computed and given is None):
        return None
    sizes = equal_parts(total, len(node.outputs)) if given is None else [int(size) for size in given]
    return sizes if len(sizes) == len(node.outputs) and min(sizes) > 0 and sum(sizes) == total else None


def cuts_of(node: ir.Node, rank: int | None) -> list[tuple[Cut, Cut, Cut]] | None:
    """The channels, rows and columns in each output of a Slice or a Split of images; None for other axes.

    Images of one row may have three axes.
    """
    if rank not in (3, 4):
        return None
    if _is(node, "Split"):
        sizes = split_sizes(node)
        if sizes is None or attribute(node, "axis", 0) not in (1, 1 - rank):
            return None
        ends = np.cumsum(sizes).tolist()
        return [(Cut(int(end - size), int(end)), Cut(), Cut()) for end, size in zip(ends, sizes, strict=True)]
    found = [constant(node, number) for number in range(1, len(node.inputs))] if _is(node, "Slice") else []
    given = [np.ravel(each).tolist() for each in found if each is not None]
    if len(given) < max(3, len(found)):
        return None
    starts, ends, axes = given[:3]
    steps = given[3] if len(given) > 3 else [1] * len(axes)
    cuts = {axis: Cut() for axis in range(rank)}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not (0 <= start < end and 1 <= step and max(start, step) <= MAX_CUT):
            return None
        cuts[axis % rank] = Cut(start, end if end < INT_MAX else Cut().stop, step)
    rows = cuts[2] if rank == 4 else Cut()
    return [(cuts[1], rows, cuts[rank - 1])] if cuts[0] == Cut() and cuts[1].step == 1 else None


def joins_channels(node: ir.Node, rank: int | None) -> bool:
    """Whether a node is a Concat of the channels of images."""
    return _is(node, "Concat") and attribute(node, "axis", 1) in (1, 1 - (rank or 0)) and rank in (4, 5)

"""Which nodes only move what images hold."""
from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..interpreter.resize import nearest_places_of
from ..interpreter.table import attribute, constant
from .chains import is_float

__all__ = ["depth_to_space", "is_channels_last", "joins_channels", "resize_factors"]

MAX_FACTOR = 1024  # of rearrange_step.c
TRIED = 50  # pixels of an axis
PERIODIC = ("half_pixel", "pytorch_half_pixel", "asymmetric")  # places that do not depend on the size


def _is(node: ir.Node, kind: str) -> bool:
    return node.op_type == kind and node.domain in ("", "ai.onnx")


def resize_factors(node: ir.Node) -> tuple[int, int] | None:
    """By how much a Resize repeats each pixel along y and x; None if it does anything else."""
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
    """The block size of a DepthToSpace whose channels are ordered as a pixel's of a block are."""
    block = attribute(node, "blocksize") if _is(node, "DepthToSpace") else None
    return block if block and attribute(node, "mode", "DCR") == "DCR" and block <= MAX_FACTOR else None


def is_channels_last(node: ir.Node, rank: int | None) -> bool:
    """Whether a node makes images of a float array whose channels are its last axis."""
    return _is(node, "Transpose") and rank == 4 and tuple(attribute(node, "perm", ())) == (0, 3, 1, 2) and is_float(
        node.inputs[0])


def joins_channels(node: ir.Node, rank: int | None) -> bool:
    """Whether a node is a Concat of the channels of images."""
    return _is(node, "Concat") and attribute(node, "axis", 1) in (1, -3) and rank == 4

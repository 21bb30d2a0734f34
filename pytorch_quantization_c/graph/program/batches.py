"""Whether a segment processes a batch in parts, so that images stay cached from operation to operation."""
from __future__ import annotations

from collections.abc import Sequence

from .operations import (
    Average,
    Chain,
    Concat,
    Conv,
    Cropped,
    Export,
    Flat,
    Import,
    Operation,
    Pool,
    Rearranged,
    Rows,
    Sliced,
)
from .padding import PaddedImage
from .plan import Plan
from .sampling import Sampled
from .segments import Segment
from .shapes import Dims
from .volumes import Stacked

__all__ = ["images_a_call"]

CACHED = 2 ** 22  # arena size worth staying below, in bytes
#: Also by row of a matrix.
BY_IMAGE = (Import, Export, Conv, Pool, Average, Concat, Sliced, Rearranged, Flat, PaddedImage, Cropped, Stacked)


def images_a_call(segment: Segment, inputs: Sequence[Dims], given: Sequence[bool], plan: Plan) -> int:
    """How many images of a batch a call takes; 0: all of them.

    Args:
        segment, plan: the segment, bound to a whole batch.
        inputs: the shapes of its inputs.
        given: which of them belong to the batch, and are no constants.
    """
    if plan.arena <= CACHED or not all(_is_by_image(each) for each in segment.operations):
        return 0
    if any(key.form is not None for key in (*segment.inputs, *segment.outputs)):
        return 0
    shapes = [dims.shape for dims, batch in zip(inputs, given, strict=True) if batch]
    shapes.extend(dims.shape for dims, _ in plan.outputs.values())
    sizes = {shape[0] for shape in shapes}
    count = sizes.pop() if len(sizes) == 1 and min(map(len, shapes)) > 1 else 1
    part = max(1, CACHED * count // plan.arena)
    return part if part < count else 0


def _is_by_image(each: Operation) -> bool:
    if isinstance(each, Sampled):
        return each.input.form is not None
    return isinstance(each, (*BY_IMAGE, Rows)) or (isinstance(each, Chain) and each.image)

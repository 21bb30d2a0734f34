"""Which axes a reduction runs over, given the axes that keep their own amax."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import ShapeError

Axis = int | tuple[int, ...] | list[int] | None


def axes_to_reduce(axis: Axis, shape: Sequence[int], owner: str = "a quantiser") -> list[int] | None:
    """The axes of an array of this shape that share an amax; None means all of them.

    `axis` names those that have one amax each; a negative one counts from the end. ValueError that names `owner`, the
    axis and the shape if the array does not have one of them.
    """
    if axis is None:
        return None
    ndim, named = len(shape), tuple(axis) if isinstance(axis, Iterable) else (axis,)
    for each in named:
        if not -ndim <= each < ndim:
            raise ShapeError(f"Expected an input that has the axis {each} of {owner} (axis={axis}), got shape "
                             f"{tuple(shape)}")
    kept = {i + ndim if i < 0 else i for i in named}
    return [i for i in range(ndim) if i not in kept]

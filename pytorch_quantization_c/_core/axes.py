"""Which axes a reduction runs over, given the axes that keep their own amax."""
from __future__ import annotations

from collections.abc import Iterable

Axis = int | tuple[int, ...] | list[int] | None


def axes_to_reduce(axis: Axis, ndim: int) -> list[int] | None:
    """The axes of an `ndim`-dimensional array that share an amax; None means all of them.

    `axis` names those that have one amax each; a negative one counts from the end, one that the array does not
    have is ignored (a descriptor is often made before the arrays are known).
    """
    if axis is None:
        return None
    kept = {i + ndim if i < 0 else i for i in (axis if isinstance(axis, Iterable) else (axis,))}
    return [i for i in range(ndim) if i not in kept]

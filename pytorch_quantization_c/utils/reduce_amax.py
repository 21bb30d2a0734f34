"""Largest absolute value along axes."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _C
from .._arrays import axis_index, number_array

__all__ = ["reduce_amax"]

MAX_AXES = 1000  # that may be named, some several times; an iterator may have no end


def _reduce(array: NDArray[Any], axes: tuple[int, ...] | None, keepdims: bool) -> NDArray[Any]:
    if array.dtype.kind in "iu":
        if array.size == 0:
            return _C.amax(array.astype(np.float32), axes, keepdims).astype(array.dtype)
        magnitudes = np.abs(array)
        if magnitudes.min() < 0:
            raise ValueError(f"Expected `input` without {magnitudes.min()}, whose magnitude {array.dtype} cannot hold")
        return np.asarray(np.max(magnitudes, axis=axes, keepdims=keepdims))
    return _C.amax(array, axes, keepdims)


def _own_axes(array: NDArray[Any], axes: Iterable[Any]) -> tuple[int, ...]:
    """Each axis once, counted from the start. As in torch, a number has an axis 0 that is not there."""
    found = {axis_index(each, max(array.ndim, 1)) for each in axes}
    return tuple(sorted(found)) if array.ndim else ()


def reduce_amax(input: ArrayLike, axis: int | Iterable[int] | None = None, keepdims: bool = True) -> NDArray[Any]:
    """Largest absolute value over some axes, or over all of them. A NaN wins over every number.

    Args:
        input: floats or integers, any shape; lists and numbers become float32.
        axis: the axis or axes to reduce; None for all, negative ones count from the end.
        keepdims: keep the reduced axes with length 1. As in the original, a result of one element is 0-d all the
            same, unless `axis` is a single integer; and with `keepdims=False` and several axes every axis of length 1
            goes, reduced or not.

    Returns:
        A new array of the type of `input`.

    Raises:
        AxisError: there is no such axis.
        ValueError: a tuple of more axes than `input` has; a reduction over nothing; the least integer of a type, as
            -128 of int8, which has no magnitude in that type.
        TypeError: `input` holds no numbers.
    """
    array = number_array(input, "input")
    if axis is None:
        return _reduce(array, None, False)
    if isinstance(axis, str) or not isinstance(axis, Iterable):
        return _reduce(array, _own_axes(array, (axis,)), keepdims)
    axes = tuple(islice(axis, MAX_AXES + 1))
    if len(axes) > MAX_AXES:
        raise ValueError(f"Expected at most {MAX_AXES} axes in `axis`, got more")
    if isinstance(axis, tuple) and len(axes) > array.ndim:
        raise ValueError(f"Cannot reduce more axes than tensor's dim: got {len(axes)} in `axis` for "
                         f"shape {array.shape}")
    output = _reduce(array, _own_axes(array, axes), True)
    return output.reshape([size for size in output.shape if size != 1]) if not keepdims or output.size == 1 else output

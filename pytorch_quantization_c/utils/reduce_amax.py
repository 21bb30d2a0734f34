"""Largest absolute value along axes."""
from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _C

__all__ = ["reduce_amax"]


def _reduce(array: NDArray[Any], axes: tuple[int, ...] | None, keepdims: bool) -> NDArray[Any]:
    if array.dtype.kind in "iu":
        return np.asarray(np.max(np.abs(array), axis=axes, keepdims=keepdims))
    return _C.amax(array, axes, keepdims)


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
        ValueError: a tuple of more axes than `input` has; a reduction over nothing.
        TypeError: `input` holds no numbers.
    """
    array = np.asarray(input) if isinstance(input, np.ndarray | np.generic) else np.asarray(input, np.float32)
    if array.dtype.kind in "bcOSUMm":
        raise TypeError(f"Expected `input` to be an array of floats or integers, got {array.dtype}")
    if axis is None:
        return _reduce(array, None, False)
    if not isinstance(axis, Iterable):
        return _reduce(array, (operator.index(axis),), keepdims)
    axes = tuple(operator.index(each) for each in axis)
    if isinstance(axis, tuple) and len(axes) > array.ndim:
        raise ValueError(f"Cannot reduce more axes than tensor's dim: got {len(axes)} in `axis` for "
                         f"shape {array.shape}")
    for each in axes:
        if not -array.ndim <= each < array.ndim:
            raise np.exceptions.AxisError(each, array.ndim, "axis")
    once = tuple(sorted({each % array.ndim for each in axes}))
    output = _reduce(array, once, True)
    return output.reshape([size for size in output.shape if size != 1]) if not keepdims or output.size == 1 else output

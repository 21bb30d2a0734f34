"""The grid that a weight is rounded to, and checks of the arguments that all methods take."""
from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import float_array
from .._core.errors import shown

__all__ = ["Grid"]

Array = NDArray[np.float64]
MIN_AMAX = 2.0 ** -24       # up to it, fake_tensor_quant gives zeros
ROWS = 1024                 # of inputs that are widened to float64 at a time


class Grid:
    """The values that the library's symmetric fake quantisation can give to each row of a weight.

    value = code / scale, scale = fl(bound / amax), |code| <= bound = 2^(bits - 1) - 1, computed in float32, of float64
    weights in float64. `fake_tensor_quant` with the same amax leaves such values as they are.

    Attributes:
        bound: the largest code.
        scale: (rows, groups), float32 or float64; 0 where everything becomes 0.
        group_size: columns that share a scale.
    """

    def __init__(self, weight: NDArray[Any], num_bits: int, group_size: int, amax: NDArray[Any] | None) -> None:
        kind = np.float64 if weight.dtype == np.float64 else np.float32
        rows, columns = weight.shape
        self.bound, self.group_size = (1 << (num_bits - 1)) - 1, group_size
        if amax is None:
            grouped = np.abs(weight.astype(kind)).reshape(rows, columns // group_size, group_size)
            ends: NDArray[Any] = np.asarray(grouped.max(-1, initial=0), kind)
        else:
            ends = amax.astype(kind)
        self.scale = np.divide(kind(self.bound), ends, where=ends > MIN_AMAX, out=np.zeros_like(ends))

    def columns(self) -> Array:
        """The scale of each element: (rows, columns)."""
        return np.repeat(self.scale.astype(np.float64), self.group_size, axis=1)

    def values(self, codes: Array, dtype: Any) -> NDArray[Any]:
        """Integers as values, divided in the precision of fake quantisation, in `dtype`."""
        scale = np.repeat(self.scale, self.group_size, axis=1)
        found = np.divide(codes.astype(scale.dtype), scale, where=scale > 0, out=np.zeros_like(scale))
        return np.asarray(found, dtype)


def nearest(values: Array, scale: Array, bound: int) -> Array:
    """Codes of the nearest values, ties to even."""
    return np.clip(np.rint(values * scale), -bound, bound)


def over(codes: Array, scale: Array) -> Array:
    """codes / scale; 0 where the scale is 0."""
    return np.divide(codes, scale, where=scale > 0, out=np.zeros_like(codes))


def finite(value: ArrayLike, name: str) -> NDArray[Any]:
    """Finite floats of any shape. TypeError or ValueError that names them otherwise."""
    array = float_array(value, name)
    if not np.isfinite(array).all():
        raise ValueError(f"Expected finite `{name}`, got NaN or infinity")
    return np.asarray(array, array.dtype.newbyteorder("="))


def checked_weight(weight: ArrayLike, name: str = "weight") -> NDArray[Any]:
    """A finite matrix (out, in) of floats. TypeError or ValueError that names it otherwise."""
    array = float_array(weight, name)
    if array.ndim != 2:
        raise ValueError(f"Expected `{name}` of shape (out, in), got {array.shape}")
    return _contiguous(array, name)


def checked_inputs(inputs: ArrayLike, columns: int, name: str = "inputs") -> NDArray[Any]:
    """A finite matrix (rows, in) of floats with at least one row. TypeError or ValueError that names it otherwise."""
    array = float_array(inputs, name)
    if array.ndim != 2 or array.shape[1] != columns or not len(array):
        raise ValueError(f"Expected `{name}` of shape (rows, in) with at least one row and in = {columns}, as "
                         f"`weight` has columns, got {array.shape}")
    return _contiguous(array, name)


def _contiguous(array: NDArray[Any], name: str) -> NDArray[Any]:
    if math.prod(array.shape) > np.iinfo(np.int32).max:
        raise ValueError(f"Expected `{name}` of at most {np.iinfo(np.int32).max} elements, got shape {array.shape}")
    return np.ascontiguousarray(finite(array, name))


def checked_bits(num_bits: Any) -> int:
    """Bits of a weight: 2 to 8."""
    if isinstance(num_bits, bool) or not hasattr(num_bits, "__index__"):
        raise TypeError(f"Expected `num_bits` to be an integer from 2 to 8, got {shown(num_bits)}")
    bits = operator.index(num_bits)
    if not 2 <= bits <= 8:
        raise ValueError(f"Expected `num_bits` to be an integer from 2 to 8, got {shown(bits)}")
    return bits


def checked_group(group_size: Any, columns: int) -> int:
    """The number of columns that share a range; None means all."""
    if group_size is None:
        return max(columns, 1)
    if isinstance(group_size, bool) or not hasattr(group_size, "__index__"):
        raise TypeError(f"Expected `group_size` to be None or an integer, got {shown(group_size)}")
    size = operator.index(group_size)
    if size < 1 or columns % size:
        raise ValueError(f"Expected `group_size` >= 1 that divides the {columns} columns of `weight`, got "
                         f"{shown(size)}")
    return size


def checked_number(value: Any, name: str, low: float, high: float = math.inf) -> float:
    """A finite number of at least `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"Expected `{name}` to be a number, got {shown(value)}")
    if not (low <= value <= high and value < math.inf):
        limit = f">= {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"Expected `{name}` to be finite and {limit}, got {shown(value)}")
    return float(value)


def checked_grid(weight: NDArray[Any], num_bits: Any, group_size: Any, amax: Any) -> Grid:
    """The grid by a method's arguments.

    Args:
        amax: None: the largest magnitude of each row, or of each group of it; else of shape (out,) or (out, groups).
    """
    bits, size = checked_bits(num_bits), checked_group(group_size, weight.shape[1])
    if amax is not None:
        rows, groups = len(weight), weight.shape[1] // size
        amax = float_array(amax, "amax")
        if amax.shape not in ((rows, groups), (rows,) if groups == 1 else (rows, groups)):
            raise ValueError(f"Expected `amax` of shape {(rows,) if groups == 1 else (rows, groups)}, got {amax.shape}")
        if not (np.isfinite(amax).all() and (amax >= 0).all()):
            raise ValueError(f"Expected finite `amax` >= 0, got {shown(amax[~(np.isfinite(amax) & (amax >= 0))][0])}")
        amax = amax.reshape(rows, groups)
    return Grid(weight, bits, size, amax)


def second_moment(inputs: NDArray[Any]) -> Array:
    """The sum over rows of x x^T: (in, in), in float64."""
    found = np.zeros((inputs.shape[1],) * 2)
    for first in range(0, len(inputs), ROWS):
        part = inputs[first:first + ROWS].astype(np.float64)
        found += part.T @ part
    return found

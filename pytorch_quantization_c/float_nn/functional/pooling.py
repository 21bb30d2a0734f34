"""Maximum and average over sliding windows."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._core.tracing import traceable
from ..checks import Array, IntOrInts, ShapeError, batched, integer, integers, same_floats

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
           "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices"]

Pooled = Array | tuple[Array, Array]


class _Axis:
    """The windows along one dimension."""

    def __init__(self, size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
        self.size, self.kernel, self.stride, self.padding, self.dilation = size, kernel, stride, padding, dilation
        self.reach = dilation * (kernel - 1) + 1
        room = size + 2 * padding - self.reach
        self.out = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (self.out - 1) * stride >= size + padding:
            self.out -= 1  # a window must start inside the input or its left padding
        self.after = max(0, (self.out - 1) * stride + self.reach - size - padding)

    def slice(self, offset: int) -> slice:
        """Where the windows find their element number `offset` in the padded input."""
        start = offset * self.dilation
        return slice(start, start + (self.out - 1) * self.stride + 1, self.stride)


def _axes(what: str, x: Array, kernel: IntOrInts, stride: Any, padding: IntOrInts, dilation: IntOrInts,
          ceil_mode: bool) -> list[_Axis]:
    spatial = x.ndim - 2
    kernels = integers(kernel, spatial, "kernel_size", 1)
    none = stride is None or (isinstance(stride, Sequence) and len(stride) == 0)
    strides = kernels if none else integers(stride, spatial, "stride", 1)
    paddings, dilations = integers(padding, spatial, "padding", 0), integers(dilation, spatial, "dilation", 1)
    if 0 in x.shape[1:]:
        raise ShapeError(f"Expected `input` to {what} that is empty at most in its batch, got shape {x.shape}")
    axes = []
    for n, k, s, p, d in zip(x.shape[2:], kernels, strides, paddings, dilations, strict=True):
        axis = _Axis(n, k, s, p, d, ceil_mode)
        if p > axis.reach // 2:
            raise ShapeError(f"Expected `padding` at most half of the kernel's reach {axis.reach}, got {p}")
        if axis.out < 1:
            raise ShapeError(f"Expected an `input` large enough for the kernel, got shape {x.shape} and "
                             f"kernel_size {kernels}")
        axes.append(axis)
    return axes


def _padded(x: Array, axes: Sequence[_Axis], fill: float) -> Array:
    amounts = [(0, 0), (0, 0), *((axis.padding, axis.after) for axis in axes)]
    return np.pad(x, amounts, constant_values=fill) if any(map(any, amounts)) else x


def _separable(x: Array, axes: Sequence[_Axis], combine: Callable[..., Any]) -> Array:
    """Combines the elements of each window, one dimension after the other, the last first."""
    for number in range(x.ndim - 1, 1, -1):
        axis, before = axes[number - 2], (slice(None),) * number
        total = x[(*before, axis.slice(0))].copy()
        for offset in range(1, axis.kernel):
            combine(total, x[(*before, axis.slice(offset))], out=total)
        x = total
    return x


def _max_with_indices(x: Array, axes: Sequence[_Axis]) -> tuple[Array, Array]:
    """The maxima and where they lie in the flattened input without padding: the first of equals, the last NaN."""
    size = x.shape[2:]
    positions = np.arange(math.prod(size), dtype=np.int64).reshape(1, 1, *size)
    values, places = _padded(x, axes, -np.inf), _padded(positions, axes, 0)
    shape = (*x.shape[:2], *(axis.out for axis in axes))
    best, index = np.full(shape, -np.inf, x.dtype), np.full(shape, -1, np.int64)
    for offset in np.ndindex(*(axis.kernel for axis in axes)):
        here = (slice(None), slice(None), *(axis.slice(o) for axis, o in zip(axes, offset, strict=True)))
        value = values[here]
        inside = np.ones((), bool)
        for number, (axis, o) in enumerate(zip(axes, offset, strict=True)):
            place = np.arange(axis.out) * axis.stride + o * axis.dilation - axis.padding
            inside = inside & ((place >= 0) & (place < axis.size)).reshape((-1,) + (1,) * (len(axes) - 1 - number))
        better = inside & ((value > best) | np.isnan(value) | (index < 0))
        np.copyto(best, value, where=better)
        np.copyto(index, np.broadcast_to(places[here], shape), where=better)
    return best, index


def _max_pool(spatial: int, input: ArrayLike, kernel_size: IntOrInts, stride: Any, padding: IntOrInts,
              dilation: IntOrInts, ceil_mode: bool, return_indices: bool) -> Pooled:
    (x,), dtype = same_floats(input=input)
    x, single = batched(x, spatial, f"max_pool{spatial}d")
    axes = _axes(f"max_pool{spatial}d", x, kernel_size, stride, padding, dilation, ceil_mode)
    if not return_indices:
        y = _separable(_padded(x, axes, -np.inf), axes, np.maximum).astype(dtype, copy=False)
        return y[0] if single else y
    y, index = _max_with_indices(x, axes)
    y = y.astype(dtype, copy=False)
    return (y[0], index[0]) if single else (y, index)


def _counts(axes: Sequence[_Axis], count_include_pad: bool) -> Array:
    """How many elements each window is divided by; the padding that ceil_mode adds at the end never counts."""
    total: Array = np.ones((), np.int64)
    for axis in axes:
        start = np.arange(axis.out) * axis.stride - axis.padding
        end = np.minimum(start + axis.kernel, axis.size + axis.padding)
        if not count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, axis.size)
        total = total[..., None] * (end - start)
    return total


def _avg_pool(spatial: int, input: ArrayLike, kernel_size: IntOrInts, stride: Any, padding: IntOrInts, ceil_mode: bool,
              count_include_pad: bool, divisor_override: int | None = None) -> Array:
    (x,), dtype = same_floats(input=input)
    x, single = batched(x, spatial, f"avg_pool{spatial}d")
    if divisor_override is not None and integer(divisor_override, "divisor_override") == 0:
        raise ShapeError("Expected `divisor_override` other than 0")
    axes = _axes(f"avg_pool{spatial}d", x, kernel_size, stride, padding, 1, ceil_mode)
    y = _separable(_padded(x, axes, 0), axes, np.add)
    divisor = _counts(axes, count_include_pad) if divisor_override is None else np.asarray(divisor_override)
    y /= divisor.astype(x.dtype)
    y = y.astype(dtype, copy=False)
    return y[0] if single else y


@traceable
def max_pool1d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               dilation: IntOrInts = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window of (N, C, L) or (C, L); see `max_pool2d`."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@traceable
def max_pool2d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               dilation: IntOrInts = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window.

    Args:
        input: (N, C, H, W) or (C, H, W). NaN wins over all numbers.
        kernel_size, stride, padding, dilation: one integer, or one for each dimension; stride None means kernel_size.
        ceil_mode: also windows that hang over the end, as long as they start inside.
        return_indices: also return where each maximum lies in the flattened plane, as int64.
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@traceable
def max_pool3d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               dilation: IntOrInts = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The maximum of each window of (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@traceable
def max_pool1d_with_indices(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
                            dilation: IntOrInts = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> tuple[Array, Array]:
    """`max_pool1d` with return_indices=True."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


@traceable
def max_pool2d_with_indices(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
                            dilation: IntOrInts = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> tuple[Array, Array]:
    """`max_pool2d` with return_indices=True."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


@traceable
def max_pool3d_with_indices(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
                            dilation: IntOrInts = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> tuple[Array, Array]:
    """`max_pool3d` with return_indices=True."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[return-value]


@traceable
def avg_pool1d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Array:
    """The average of each window of (N, C, L) or (C, L); see `avg_pool2d`."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@traceable
def avg_pool2d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """The average of each window.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding: one integer, or one for each dimension; stride None means kernel_size.
        ceil_mode: also windows that hang over the end, as long as they start inside.
        count_include_pad: the zeros of the padding count as elements.
        divisor_override: divide by this instead of the number of elements.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@traceable
def avg_pool3d(input: ArrayLike, kernel_size: IntOrInts, stride: Any = None, padding: IntOrInts = 0,
               ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """The average of each window of (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

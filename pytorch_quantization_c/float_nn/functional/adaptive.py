"""Pooling to a given size: window i of n elements and m results is [floor(i n / m), ceil((i + 1) n / m))."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, batched, integer, same_floats

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
           "adaptive_max_pool2d", "adaptive_max_pool3d"]

SizeOrSizes = int | None | Sequence[int | None]


def _sizes(output_size: SizeOrSizes, size: tuple[int, ...]) -> tuple[int, ...]:
    """The wanted sizes, with None replaced by the input's."""
    if isinstance(output_size, Sequence) and len(output_size) not in (1, len(size)):
        raise ShapeError(f"Expected `output_size` to be one number or {len(size)}, got {shown(output_size)}")
    wanted = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,)
    wanted = wanted if len(wanted) == len(size) else wanted * len(size)
    return tuple(n if m is None else integer(m, "output_size", 0) for n, m in zip(size, wanted, strict=True))


def _bounds(n: int, m: int) -> list[tuple[int, int]]:
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _prepare(spatial: int, input: ArrayLike, output_size: SizeOrSizes,
             what: str) -> tuple[Array, bool, tuple[int, ...], np.dtype[Any]]:
    (x,), dtype = same_floats(input=input)
    x, single = batched(x, spatial, what)
    if 0 in x.shape[1:]:
        raise ShapeError(f"Expected `input` to {what} that is empty at most in its batch, got shape {x.shape}")
    return x, single, _sizes(output_size, x.shape[2:]), dtype


def _mean_along(x: Array, axis: int, m: int) -> Array:
    n = x.shape[axis]
    if m == n:
        return x
    if m and n % m == 0:
        split: Array = x.reshape(*x.shape[:axis], m, n // m, *x.shape[axis + 1:]).mean(axis=axis + 1)
        return split
    before: tuple[Any, ...] = (slice(None),) * axis
    y = np.empty((*x.shape[:axis], m, *x.shape[axis + 1:]), x.dtype)
    for i, (begin, end) in enumerate(_bounds(n, m)):
        np.mean(x[(*before, slice(begin, end))], axis=axis, out=y[(*before, i)])
    return y


def _adaptive_avg(spatial: int, input: ArrayLike, output_size: SizeOrSizes) -> Array:
    x, single, sizes, dtype = _prepare(spatial, input, output_size, f"adaptive_avg_pool{spatial}d")
    if all(m == 1 for m in sizes):
        rows = np.ascontiguousarray(x.reshape(*x.shape[:2], math.prod(x.shape[2:])))  # summed pairwise in any layout
        x = rows.mean(axis=-1).reshape(*x.shape[:2], *sizes)
    for number in range(spatial + 1, 1, -1):
        x = _mean_along(x, number, sizes[number - 2])
    y = x.astype(dtype)
    return y[0] if single else y


def _adaptive_max(spatial: int, input: ArrayLike, output_size: SizeOrSizes, return_indices: bool) -> Any:
    x, single, sizes, dtype = _prepare(spatial, input, output_size, f"adaptive_max_pool{spatial}d")
    size = x.shape[2:]
    y, index = np.empty((*x.shape[:2], *sizes), dtype), np.empty((*x.shape[:2], *sizes), np.int64)
    all_bounds = [_bounds(n, m) for n, m in zip(size, sizes, strict=True)]
    positions = np.arange(int(np.prod(size)), dtype=np.int64).reshape(size)
    for at in np.ndindex(*sizes):
        cut = tuple(slice(*bounds[i]) for bounds, i in zip(all_bounds, at, strict=True))
        part = x[(slice(None), slice(None), *cut)]
        part = part.reshape(*x.shape[:2], math.prod(part.shape[2:]))
        where = part.argmax(axis=-1) if part.size else np.zeros(x.shape[:2], np.int64)
        y[(slice(None), slice(None), *at)] = np.take_along_axis(part, where[..., None], -1)[..., 0]
        index[(slice(None), slice(None), *at)] = positions[cut].reshape(-1)[where]
    if single:
        y, index = y[0], index[0]
    return (y, index) if return_indices else y


@traceable
def adaptive_avg_pool1d(input: ArrayLike, output_size: SizeOrSizes) -> Array:
    """Averages of (N, C, L) or (C, L) over windows chosen so that the result has `output_size` (None: as it is)."""
    return _adaptive_avg(1, input, output_size)


@traceable
def adaptive_avg_pool2d(input: ArrayLike, output_size: SizeOrSizes) -> Array:
    """Averages of (N, C, H, W) or (C, H, W) over windows chosen so that the result has `output_size`."""
    return _adaptive_avg(2, input, output_size)


@traceable
def adaptive_avg_pool3d(input: ArrayLike, output_size: SizeOrSizes) -> Array:
    """Averages of (N, C, D, H, W) or (C, D, H, W) over windows chosen so that the result has `output_size`."""
    return _adaptive_avg(3, input, output_size)


@traceable
def adaptive_max_pool1d(input: ArrayLike, output_size: SizeOrSizes, return_indices: bool = False) -> Any:
    """Maxima, and if asked their flat places, of (N, C, L) or (C, L) over windows that give `output_size`."""
    return _adaptive_max(1, input, output_size, return_indices)


@traceable
def adaptive_max_pool2d(input: ArrayLike, output_size: SizeOrSizes, return_indices: bool = False) -> Any:
    """Maxima, and if asked their flat places, of (N, C, H, W) or (C, H, W) over windows that give `output_size`."""
    return _adaptive_max(2, input, output_size, return_indices)


@traceable
def adaptive_max_pool3d(input: ArrayLike, output_size: SizeOrSizes, return_indices: bool = False) -> Any:
    """Maxima, and if asked their flat places, of (N, C, D, H, W) or (C, D, H, W) over windows."""
    return _adaptive_max(3, input, output_size, return_indices)

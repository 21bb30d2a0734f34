"""`interpolate`: other sizes of one to three dimensions by the nearest element or linearly."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, float_array, integer, number, working
from .adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["between", "interpolate", "linear_along", "linear_places", "nearest_places"]

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
NEAREST = ("nearest", "nearest-exact")


def _per_dimension(value: Any, count: int, name: str) -> list[Any]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return [value] * count
    if np.ndim(value) == 0 or len(value) != count:
        raise ShapeError(f"Expected `{name}` to be one number or {count} as the input has spatial dimensions, "
                         f"got {shown(value)}")
    return list(value)


def _sizes(size: tuple[int, ...], wanted: Any, scale_factor: Any) -> tuple[list[int], list[float | None]]:
    """The sizes of the result, and the factors by which the caller scaled (None where a size was given)."""
    if (wanted is None) == (scale_factor is None):
        raise ValueError("Expected one of `size` and `scale_factor`, got " + ("none" if wanted is None else "both"))
    if wanted is not None:
        sizes = [integer(each, "size", 1) for each in _per_dimension(wanted, len(size), "size")]
        return sizes, [None] * len(size)
    factors = [number(each, "scale_factor") for each in _per_dimension(scale_factor, len(size), "scale_factor")]
    if not all(0 < factor < math.inf for factor in factors):
        raise ShapeError(f"Expected `scale_factor` > 0 and finite, got {scale_factor}")
    sizes = [math.floor(n * factor) for n, factor in zip(size, factors, strict=True)]
    if min(sizes) < 1:
        raise ShapeError(f"Expected `scale_factor` that gives sizes >= 1, got {scale_factor} for {size}")
    return sizes, list(factors)


def nearest_places(n: int, m: int, factor: float | None, exact: bool, planar: bool) -> Array:
    """For each of m places the element of n that is nearest, in float32 as torch computes it.

    `planar`: in two dimensions torch does not look at the factor if the size stays or doubles.
    """
    if planar and not exact and m in (n, 2 * n):
        factor = None
    scale = np.float32(1.0 / factor) if factor else np.float32(n) / np.float32(m)
    places = np.arange(m, dtype=np.float32)
    nearest: Array = np.minimum(np.floor((places + np.float32(0.5 if exact else 0)) * scale).astype(np.int64), n - 1)
    return nearest


def linear_places(n: int, m: int, factor: float | None, align_corners: bool,
                  dtype: DTypeLike) -> tuple[Array, Array, Array]:
    """The two neighbours of each of m sampling points among n elements, and the weight of the second, in `dtype`."""
    kind: Any = np.dtype(dtype).type
    places = np.arange(m, dtype=dtype)
    if align_corners:
        source = places * (kind(n - 1) / kind(m - 1) if m > 1 else kind(0))
    else:
        scale = kind(1.0 / factor) if factor else kind(n) / kind(m)
        source = np.maximum((places + kind(0.5)) * scale - kind(0.5), kind(0))
    below = np.minimum(source.astype(np.int64), n - 1)
    above = np.minimum(below + 1, n - 1)
    return below, above, source - below.astype(dtype)


def linear_along(x: Array, axis: int, m: int, factor: float | None, align_corners: bool) -> Array:
    """One axis at m places, linearly between neighbours; factor: what the caller scaled by, if it was that."""
    n = x.shape[axis]
    return x if m == n else between(x, axis, *linear_places(n, m, factor, align_corners, x.dtype))


def between(x: Array, axis: int, below: Array, above: Array, weight: Array) -> Array:
    """x[below] * (1 - weight) + x[above] * weight along an axis."""
    weight = weight.reshape(-1, *(1,) * (x.ndim - 1 - axis))
    result: Array = np.take(x, below, axis)
    result *= x.dtype.type(1) - weight
    upper = np.take(x, above, axis)
    upper *= weight
    result += upper
    return result


@traceable
def interpolate(input: ArrayLike, size: int | Sequence[int] | None = None,
                scale_factor: float | Sequence[float] | None = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Array:
    """The input at other sizes.

    Args:
        input: (N, C, ...) with one, two or three dimensions to resize.
        size: the new sizes, or
        scale_factor: factors; the new sizes are rounded down.
        mode: "nearest", "nearest-exact", "area", or "linear", "bilinear", "trilinear" for 1, 2, 3 dimensions.
        align_corners: for the linear modes: corners of input and output are the same points.
        recompute_scale_factor: compute positions from the new sizes, not from `scale_factor`.
        antialias: not supported; must be False.
    """
    x = float_array(input, "input")
    dtype, spatial = x.dtype, x.ndim - 2
    if spatial not in (1, 2, 3):
        raise ShapeError(f"Expected `input` with 3, 4 or 5 dimensions, got shape {x.shape}")
    if mode not in (*LINEAR, *NEAREST, "area") or LINEAR.get(mode, spatial) != spatial:
        raise ShapeError(f"Expected `mode` 'nearest', 'nearest-exact', 'area' or the linear one for {spatial} "
                         f"dimensions, got {shown(mode)}")
    if antialias:
        raise ValueError("Expected antialias=False, got True")
    if align_corners is not None and mode not in LINEAR:
        raise ValueError(f"Expected `align_corners` with a linear mode only, got {shown(mode)}")
    sizes, factors = _sizes(x.shape[2:], size, scale_factor)
    if recompute_scale_factor:
        if size is not None:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        factors = [None] * spatial
    if 0 in x.shape[1:]:
        raise ShapeError(f"Expected `input` that is empty at most in its batch, got shape {x.shape}")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[spatial - 1](x, sizes)
    given, x = x, x.astype(working(dtype), copy=False)
    for axis in reversed(range(2, x.ndim)):  # the last first: rows are short then
        m, factor = sizes[axis - 2], factors[axis - 2]
        if mode in LINEAR:
            x = linear_along(x, axis, m, factor, bool(align_corners))
        else:
            x = np.take(x, nearest_places(x.shape[axis], m, factor, mode == "nearest-exact", spatial == 2), axis)
    return x.astype(dtype, copy=np.may_share_memory(x, given))

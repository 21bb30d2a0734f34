"""Dropout of elements and of channels. The random numbers are float_nn's own: `manual_seed` repeats them."""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..._core.tracing import traceable
from ..checks import Array, ShapeError, float_array, probability
from ..init import generator
from .activation import _finish

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d"]


def _drop(input: ArrayLike, x: Array, shape: tuple[int, ...], p: float, inplace: bool) -> Array:
    """x with what a mask of `shape`, which broadcasts to it, drops."""
    kept = generator().random(shape, dtype=np.float32) >= p
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    return _finish(input, np.where(kept, x * x.dtype.type(scale), x.dtype.type(0)), inplace)


@traceable
def dropout(input: ArrayLike, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """While training, zeroes each element with probability `p` and divides the others by 1 - p; else `input` itself."""
    p, x = probability(p), float_array(input, "input")
    return _drop(input, x, x.shape, p, inplace) if training and p else x


def _drop_channels(input: ArrayLike, p: float, training: bool, inplace: bool, dimensions: dict[int, int]) -> Array:
    """`dimensions`: the numbers of dimensions that are taken, and how many of the first ones count channels."""
    p, x = probability(p), float_array(input, "input")
    if x.ndim not in dimensions:
        raise ShapeError(f"Expected `input` with {' or '.join(map(str, dimensions))} dimensions, got shape {x.shape}")
    first = dimensions[x.ndim]
    shape = x.shape[:first] + (1,) * (x.ndim - first)
    return _drop(input, x, shape, p, inplace) if training and p else x


@traceable
def dropout1d(input: ArrayLike, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """`dropout` of whole channels of (N, C, L) or (C, L)."""
    return _drop_channels(input, p, training, inplace, {2: 1, 3: 2})


@traceable
def dropout2d(input: ArrayLike, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """`dropout` of whole channels of (N, C, H, W), or of (N, C, L), as torch takes three dimensions."""
    return _drop_channels(input, p, training, inplace, {3: 2, 4: 2})


@traceable
def dropout3d(input: ArrayLike, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _drop_channels(input, p, training, inplace, {4: 1, 5: 2})

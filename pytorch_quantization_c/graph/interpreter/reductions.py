"""Sums, means and extremes over axes, in an order that depends neither on NumPy nor on how an array lies in memory."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .table import Array

__all__ = ["KINDS", "axes_together", "reduced"]

KINDS = ("sum", "mean", "max", "min")
FUNCTIONS: dict[str, Callable[..., Any]] = {"sum": np.add.reduce, "mean": np.add.reduce, "max": np.maximum.reduce,
                                            "min": np.minimum.reduce}


def axes_together(axes: Iterable[int]) -> list[tuple[int, int]]:
    """Axes that follow each other, as first and last of each run; the last run comes first."""
    found: list[tuple[int, int]] = []
    for axis in sorted(axes, reverse=True):
        if found and found[-1][0] == axis + 1:
            found[-1] = axis, found[-1][1]
        else:
            found.append((axis, axis))
    return found


def reduced(kind: str, x: Array, axes: Sequence[int], keepdims: bool) -> Array:
    """The reduction over axes from 0 on, those that follow each other at once, from the last to the first.

    The last axes are added pairwise, others one after the other, as NumPy adds what lies together; a mean over axes
    apart is the mean of means. No zero is negative. NaN makes extremes NaN.
    """
    shape, x = list(x.shape), np.ascontiguousarray(x)
    for first, last in axes_together(axes):
        count, inner = math.prod(shape[first:last + 1]), math.prod(shape[last + 1:])
        x = x.reshape((-1, count, inner) if inner > 1 else (-1, count))
        x = FUNCTIONS[kind](x, axis=1, dtype=x.dtype)
        x = x + x.dtype.type(0)
        if kind == "mean":
            x = np.divide(x, np.float64(count)).astype(x.dtype)
        shape[first:last + 1] = [1] * (last + 1 - first)
    kept = shape if keepdims else [size for axis, size in enumerate(shape) if axis not in set(axes)]
    return x.reshape(kept)

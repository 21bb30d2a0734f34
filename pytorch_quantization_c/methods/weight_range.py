"""Ranges of weights by the least squared error, for each output channel or each group of columns."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import MIN_AMAX, checked_bits, checked_group, checked_weight

__all__ = ["weight_range"]

COARSE, FINE = 40, 9    # tries over the whole range, then around the best
LEAST = 0.2             # of the largest magnitude: no shorter range is tried
CHUNK = 1 << 20         # elements that are tried at a time


def weight_range(weight: ArrayLike, *, num_bits: int = 4, group_size: int | None = None) -> NDArray[Any]:
    """The range of each row, or of each group of its columns, whose rounding has the least squared error.

    Clipping a few large weights makes the steps of all others finer: with normal weights of 4 bits the squared error
    is about a third less than with the largest magnitudes (section 3 of Banner, Nahshan, Soudry: Post Training 4-bit
    Quantization of Convolutional Networks for Rapid-Deployment, 2019; the error is counted here, not modelled).
    Ranges from a fifth of the largest magnitude up are tried.

    Args:
        weight: (out, in).
        num_bits: 2 to 8, of symmetric integers without the lowest one.
        group_size: columns that share a range, a divisor of in; None: all of them.

    Returns:
        amax, (out,), or (out, in / group_size) with a `group_size`, of the type of `weight`.

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, another shape, numbers out of range, a `group_size` that does not divide in.
    """
    matrix = checked_weight(weight)
    bits, size = checked_bits(num_bits), checked_group(group_size, matrix.shape[1])
    if not matrix.shape[1]:
        return np.zeros(len(matrix) if group_size is None else (len(matrix), 0), matrix.dtype)
    groups = matrix.reshape(len(matrix) * (matrix.shape[1] // size), size)
    rows = max(1, CHUNK // size)
    parts = [_search(np.abs(groups[first:first + rows]).astype(np.float64), (1 << (bits - 1)) - 1)
             for first in range(0, len(groups), rows)]
    found = np.concatenate(parts) if parts else np.zeros(0)
    shape = (len(matrix),) if group_size is None else (len(matrix), matrix.shape[1] // size)
    return np.asarray(found.reshape(shape), matrix.dtype)


def _search(magnitudes: NDArray[np.float64], bound: int) -> NDArray[np.float64]:
    """The best end for each row of magnitudes."""
    most = magnitudes.max(axis=1, initial=0)
    shares = np.broadcast_to(np.linspace(LEAST, 1, COARSE), (len(most), COARSE))
    best = _best(magnitudes, most, shares, bound)
    width = (1 - LEAST) / (COARSE - 1)
    near = np.clip(best[:, None] + np.linspace(-width, width, FINE), LEAST, 1)
    return np.asarray(most * _best(magnitudes, most, near, bound))


def _best(magnitudes: NDArray[np.float64], most: NDArray[np.float64], shares: NDArray[np.float64],
          bound: int) -> NDArray[np.float64]:
    """The share of `most` with the least error, the largest of equals."""
    best, least = np.ones(len(most)), np.full(len(most), np.inf)
    for tried in shares.T:
        step = np.maximum(most * tried, MIN_AMAX)[:, None] / bound
        codes = np.minimum(np.rint(magnitudes / step), bound)
        error = np.square(codes * step - magnitudes).sum(axis=1)
        better = error <= least
        best, least = np.where(better, tried, best), np.where(better, error, least)
    return best

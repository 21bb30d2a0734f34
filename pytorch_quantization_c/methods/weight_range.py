"""Ranges of weights by the least squared error, for each output channel or each group of columns."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import MIN_AMAX, Array, checked_bits, checked_group, checked_inputs, checked_weight

__all__ = ["weight_range"]

COARSE, FINE = 46, 9    # tries over the whole range, then around the best
MIN_SHARE = 0.1             # of the largest magnitude: no shorter range is tried
CHUNK = 1 << 20         # elements that are tried at a time


def weight_range(weight: ArrayLike, inputs: ArrayLike | None = None, *, num_bits: int = 4,
                 group_size: int | None = None) -> NDArray[Any]:
    """The range of each row, or of each group of its columns, whose rounding has the least squared error.

    Clipping a few large weights makes the steps of all others finer: with normal weights of 4 bits the squared error
    is about a third less than with the largest magnitudes (section 3 of Banner, Nahshan, Soudry: Post Training 4-bit
    Quantization of Convolutional Networks for Rapid-Deployment, 2019; the error is counted here, not modelled).
    Ranges from a tenth of the largest magnitude up are tried.

    Args:
        weight: (out, in).
        inputs: (rows, in), what the layer is given: then an error counts as much as the mean square of its input, so
            that the error is that of the outputs if inputs do not correlate. None: all errors count the same.
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
    squares = None if inputs is None else np.square(checked_inputs(inputs, matrix.shape[1]).astype(np.float64)).mean(0)
    found = least_squares_range(matrix.reshape(-1, size), squares, bits)
    shape = (len(matrix),) if group_size is None else (len(matrix), matrix.shape[1] // size)
    return np.asarray(found.reshape(shape), matrix.dtype)


def least_squares_range(rows: NDArray[Any], importance: Array | None, bits: int) -> Array:
    """The best end for each row.

    Args:
        rows: (count, columns).
        importance: what the squared error of each column counts, in parts of a row that the rows go through in turn:
            (columns * n,); None: all count the same.
    """
    count, size = rows.shape
    step = max(1, CHUNK // max(size, 1))
    weights = None if importance is None else importance.reshape(-1, size)
    found = np.zeros(count)
    for first in range(0, count, step):
        part = np.arange(first, min(first + step, count))
        found[part] = _search(np.abs(rows[part]).astype(np.float64),
                              None if weights is None else weights[part % len(weights)], (1 << (bits - 1)) - 1)
    return found


def _search(magnitudes: Array, importance: Array | None, bound: int) -> Array:
    """The best end for each row of magnitudes."""
    most = magnitudes.max(axis=1, initial=0)
    shares = np.broadcast_to(np.linspace(MIN_SHARE, 1, COARSE), (len(most), COARSE))
    best = _best(magnitudes, importance, most, shares, bound)
    width = (1 - MIN_SHARE) / (COARSE - 1)
    near = np.clip(best[:, None] + np.linspace(-width, width, FINE), MIN_SHARE, 1)
    return np.asarray(most * _best(magnitudes, importance, most, near, bound))


def _best(magnitudes: Array, importance: Array | None, most: Array, shares: Array, bound: int) -> Array:
    """The share of `most` with the least error, the last of equals."""
    best, least = np.ones(len(most)), np.full(len(most), np.inf)
    for tried in shares.T:
        step = np.maximum(most * tried, MIN_AMAX)[:, None] / bound
        off = np.minimum(np.rint(magnitudes / step), bound)
        off *= step
        off -= magnitudes
        counted = off if importance is None else off * importance
        error = np.einsum("ij,ij->i", off, counted)
        better = error <= least
        best, least = np.where(better, tried, best), np.where(better, error, least)
    return best

"""Ranges of weights by the least squared error of the weights themselves, each of which may count differently."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import MIN_AMAX, Array

__all__: list[str] = []     # nothing here checks its arguments

COARSE, FINE = 46, 9    # tries over the whole range, then around the best
MIN_SHARE = 0.1             # of the largest magnitude: no shorter range is tried
CHUNK = 1 << 20         # elements that are tried at a time


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

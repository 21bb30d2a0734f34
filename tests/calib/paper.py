"""The searches for an amax, restated in plain NumPy and Python from their formulas, and how histograms are collected.

Nothing here calls the library.
"""
from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np


def relative_entropy(p: Any, q: Any) -> float:
    """sum p log(p / q) of two distributions given by counts: infinite where only q is 0, NaN if one has no counts."""
    if not p.sum() or not q.sum():
        return math.nan
    total = []
    for a, b in zip(p / p.sum(), q / q.sum(), strict=True):
        if a > 0 and b == 0:
            return math.inf
        if a > 0:
            total.append(a * math.log(a / b))
    return math.fsum(total)


def flattened(counts: Any, levels: int) -> Any:
    """Each of `levels` equal parts averaged over its bins that are not empty; part of bin k: floor(k levels / bins)."""
    part = [k * levels // len(counts) for k in range(len(counts))]
    filled = [k for k in range(len(counts)) if counts[k]]
    sums: dict[int, Any] = {}
    for k in filled:
        total, number = sums.get(part[k], (0, 0))
        sums[part[k]] = total + int(counts[k]), number + 1
    q = np.zeros(len(counts))
    for k in filled:
        q[k] = sums[part[k]][0] / sums[part[k]][1]
    return q


def divergences(hist: Any, num_bits: int, unsigned: bool, stride: int, start_bin: int) -> dict[int, float]:
    """For each candidate edge i: the relative entropy of the first i bins, clipped, and the same quantised."""
    counts = np.array(hist, dtype=object)
    counts[0] = counts[1]
    found = {}
    for i in range(start_bin, len(counts) + 1, stride):
        p = counts[:i].copy()
        p[-1] += counts[i:].sum()
        if 2 * sum(map(int, hist[:i])) < sum(map(int, hist)):
            continue                        # D31: it clips more than it keeps
        found[i] = relative_entropy(p.astype(np.float64), flattened(counts[:i], 1 << (num_bits - 1 + unsigned)))
    return found


def quantised(x: Any, amax: Any, num_bits: Any, unsigned: bool) -> Any:
    """float32 fakes, computed in float32."""
    if amax <= 2.0 ** -24:
        return np.zeros_like(x)
    if isinstance(num_bits, tuple):
        scale = np.float32(1) / amax * np.float32(448)
        return np.clip(x * scale, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) / scale
    bound = np.float32(2.0 ** (num_bits - 1 + unsigned) - 1)
    scale = bound / amax
    return np.clip(np.rint(x * scale), np.float32(0) if unsigned else -bound, bound) / scale


def centres(edges: Any) -> Any:
    edges = np.asarray(edges, np.float32)
    return (edges[1:] + edges[:-1]) / np.float32(2)


def squared_errors(hist: Any, edges: Any, num_bits: Any, unsigned: bool, stride: int,
                   start_bin: int) -> dict[int, float]:
    """For each candidate bin: the squared error, summed exactly, with its centre as amax."""
    return errors_of_centres(hist, centres(edges), num_bits, unsigned, stride, start_bin)


def errors_of_centres(hist: Any, x: Any, num_bits: Any, unsigned: bool, stride: int,
                      start_bin: int) -> dict[int, float]:
    """As `squared_errors`, of any centres."""
    return {i: math.fsum((quantised(x, x[i], num_bits, unsigned).astype(np.float64) - x) ** 2 * hist)
            for i in range(start_bin, len(x), stride)}


def percentile(hist: Any, edges: Any, percent: float) -> Any:
    """The left edge of the first bin up to which at least that share of the counts lies; the right one if that is 0."""
    share = 0.0
    for count, edge, next_edge in zip(hist, edges[:-1], edges[1:], strict=True):
        share += count / hist.sum()
        if share >= percent / 100:
            return np.float32(edge or next_edge)
    return np.float32(edges[-1])


def numpy_collected(batches: list[Any], bins: int) -> Any:
    """Histogram and edges: np.histogram of the first batch, bins of its width appended when a batch exceeds it."""
    hist, edges = np.histogram(np.abs(batches[0]), bins)
    for batch in batches[1:]:
        x, width = np.abs(batch), edges[1] - edges[0]
        if x.max() > edges[-1]:
            edges = np.hstack((edges, np.arange(edges[-1] + width, x.max() + width, width)))
        more, _ = np.histogram(x, edges)
        more[:len(hist)] += hist
        hist = more
    return hist, edges


def doubling(x: Any, bins: int) -> Any:
    """Histogram and edges of all data at once: |x| in equal bins of [0, R), R the power of two above the largest."""
    x = np.abs(np.asarray(x, np.float64)).ravel()
    high = 2.0 ** (math.floor(math.log2(x.max())) + 1)
    return np.bincount(np.floor(x / high * bins).astype(int), minlength=bins), np.arange(bins + 1) / bins * high

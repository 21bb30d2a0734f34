"""Histograms of magnitudes that grow: how their edges are chosen, by each of three rules. The counting is in C.

A histogram is a pair (counts, edges): int64, and one float more. While only zeros were seen its edges are all 0, and
its counts hold the zeros in bin 0. A rule has

    add(x, counts, edges, bins, skip_zeros) -> (counts, edges)

with counts and edges None at first. It may add to `counts` in place, but if it raises, nothing has changed. `x` is any
array of floats; NaN or an infinity in it is NotFinite. `bins` is the number of bins to begin with.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C

Counts = NDArray[np.int64]
Edges = NDArray[Any]

MAX_BINS = 1 << 24     # more mean that the batches differ too much in scale
LONG_ROW = 1 << 13
SMALLEST_RANGE = -64    # exponent of the smallest range of `double`: 2^-64
MAX_COUNTED = 2.0 ** 62  # more than any data have; sums of such counts stay below 2^63
FLOAT_MAX = float(np.finfo(np.float32).max)
VECTOR = 8              # floats of a vector in torch's arange


class NotFinite(Exception):
    """There is a NaN or an infinity in the data."""


def blank(bins: int) -> tuple[Counts, Edges]:
    """A histogram that has seen nothing but zeros."""
    return np.zeros(bins, np.int64), np.zeros(bins + 1, np.float32)


def is_histogram(counts: object, edges: object) -> bool:
    """Whether these are counts and edges as the rules make them."""
    if not (isinstance(counts, np.ndarray) and isinstance(edges, np.ndarray) and counts.ndim == edges.ndim == 1):
        return False
    return (counts.dtype == np.int64 and edges.dtype in (np.float32, np.float64) and len(edges) == len(counts) + 1 > 1
            and bool((counts >= 0).all() and counts.sum(dtype=np.float64) < MAX_COUNTED)
            and bool(np.isfinite(edges).all() and (np.diff(edges) >= 0).all()) and len(counts) <= MAX_BINS)


def is_doubling(counts: Counts, edges: Edges, bins: int) -> bool:
    """Whether a histogram is one of DoubleRule's with that many bins."""
    if bins < 2 or bins & (bins - 1) or len(counts) != bins:
        return False
    exponent = exponent_of(edges)
    if exponent is None:
        return not edges.any()
    return SMALLEST_RANGE <= exponent <= 128 and np.array_equal(edges, doubling_edges(exponent, bins))


def has_range(edges: Edges | None) -> bool:
    """Whether a value other than 0 has been counted."""
    return edges is not None and bool(edges[-1] > edges[0])


def longer(counts: Counts, bins: int) -> Counts:
    """`counts` with empty bins appended."""
    return np.concatenate([counts, np.zeros(bins - len(counts), np.int64)])


def count(x: NDArray[Any], edges: Edges, counts: Counts, skip_zeros: bool) -> float:
    """Counts `x` unless some of it lies above the last edge; returns its largest magnitude."""
    largest = _C.histogram(x, edges, counts, skip_zeros, False)
    if not largest < np.inf:
        raise NotFinite
    return largest


def check_growth(more: float, width: float, bins: int = 0) -> None:
    """ValueError if a histogram of `bins` bins would grow too large to reach `more` further."""
    needed = bins + (more / width if width > 0 else math.inf)
    if not needed <= MAX_BINS:
        raise ValueError(f"Expected a batch of the size of the first one: at the first one's bin width the histogram "
                         f"would need {needed:.3g} bins (grow_method='double' has no such limit)")


def _begin(x: NDArray[Any], counts: Counts | None, bins: int, skip_zeros: bool) -> tuple[Counts, float]:
    """Counts to add to, and the largest magnitude. If that is 0, the zeros have been added: they belong to bin 0."""
    with np.errstate(over="ignore"):
        largest = float(np.float32(_C.amax(x, None, False)))
    if not largest < np.inf:
        raise NotFinite
    counts = blank(bins)[0] if counts is None else counts
    if largest == 0 and not skip_zeros:
        counts[0] += x.size
    return counts, largest


def _remembered(make: Callable[[Any, int], Edges]) -> Callable[[Any, int], Edges]:
    """A cache for functions of a range and a number of bins; long rows, which would fill the memory, are not kept."""
    cached = functools.lru_cache(maxsize=256)(make)
    return lambda high, bins: cached(high, bins) if bins <= LONG_ROW else make(high, bins)


class TorchRule:
    """As with `torch.histc`: from 0 to the largest value, bins of the first batch's width are appended.

    Each batch is counted with bins of equal width over the whole range, whatever the rounding of the edges is.
    """

    @staticmethod
    def add(x: NDArray[Any], counts: Counts | None, edges: Edges | None, bins: int,
            skip_zeros: bool) -> tuple[Counts, Edges]:
        if counts is None or edges is None or not has_range(edges):
            counts, largest = _begin(x, counts, bins, skip_zeros)
            if largest == 0:
                return counts, blank(bins)[1]
            _C.histogram(x, _thresholds(largest, bins), counts, skip_zeros, False)
            return counts, np.linspace(0, largest, bins + 1).astype(np.float32)
        largest = count(x, _thresholds(float(edges[-1]), len(counts)), counts, skip_zeros)
        if not largest > edges[-1]:
            return counts, edges
        edges = _arange(np.float32(largest), edges[1] - edges[0])
        counts = longer(counts, len(edges) - 1)
        _C.histogram(x, _thresholds(float(edges[-1]), len(counts)), counts, skip_zeros, True)
        return counts, edges


@_remembered
def _thresholds(high: float, bins: int) -> Edges:
    return _C.histc_edges(high, bins)


def _arange(high: np.float32, width: np.float32) -> Edges:
    """torch.arange(0, high + width, width), cut to whole bins; torch restarts the sum every 8 numbers."""
    check_growth(float(high), float(width))
    bins = int(np.ceil(high / width))
    step, whole = float(width), int(np.ceil(float(high + width) / float(width)))
    i = np.arange(whole)
    start = i // VECTOR * VECTOR
    blocks = ((step * start).astype(np.float32) + (i - start) * step).astype(np.float32)
    edges = np.where(i < whole // (2 * VECTOR) * (2 * VECTOR), blocks, (step * i).astype(np.float32))
    if whole != bins + 1:
        edges = (step * np.arange(bins + 1)).astype(np.float32)
    if whole != bins + 1 and edges[-1] < high:
        edges = np.append(edges, np.float32(step * (bins + 1)))
    return edges


class NumpyRule:
    """As with `np.histogram`: from the least to the largest value of the first batch; width as in TorchRule.

    What later batches have below the first edge is not counted. NumPy makes the edges that are appended in float64.
    """

    @staticmethod
    def add(x: NDArray[Any], counts: Counts | None, edges: Edges | None, bins: int,
            skip_zeros: bool) -> tuple[Counts, Edges]:
        if counts is None or edges is None or not has_range(edges):
            counts, largest = _begin(x, counts, bins, skip_zeros)
            if largest == 0:
                return counts, blank(bins)[1]
            smallest, _, zeros, _, _ = _C.magnitudes(x)
            low = 0.0 if counts[0] or (zeros and not skip_zeros) else smallest
            return _first(x, counts, np.array([low, largest], np.float32), skip_zeros)
        largest = count(x, _in_float32(edges), counts, skip_zeros)
        if not largest > edges[-1]:
            return counts, edges
        width, high = edges[1] - edges[0], np.float32(largest)
        check_growth(float(high) - float(edges[-1]), float(width), len(counts))
        edges = np.hstack((edges, np.arange(edges[-1] + width, high + width, width)))
        counts = longer(counts, len(edges) - 1)
        _C.histogram(x, _in_float32(edges), counts, skip_zeros, True)
        return counts, edges


def _in_float32(edges: Edges) -> Edges:
    """Edges between which float32 numbers have the same places: rounded up, the last one, which is closed, down."""
    if edges.dtype == np.float32:
        return edges
    near = edges.astype(np.float32)
    up = np.where(near < edges, np.nextafter(near, np.float32(np.inf)), near)
    up[-1] = near[-1] if near[-1] <= edges[-1] else np.nextafter(near[-1], np.float32(0))
    return up


def _first(x: NDArray[Any], counts: Counts, ends: Edges, skip_zeros: bool) -> tuple[Counts, Edges]:
    try:
        edges = np.histogram_bin_edges(ends, len(counts))
    except ValueError:
        raise ValueError(f"Expected a first batch with a range for {len(counts)} bins, got magnitudes from {ends[0]} "
                         f"to {ends[1]}") from None
    if edges[1] - edges[0] > 8 * np.spacing(np.abs(edges).max()):
        _C.histogram(x, edges, counts, skip_zeros, True)
    else:                           # so narrow that the roundings inside np.histogram decide
        flat = np.abs(np.asarray(x, np.float32)).ravel()
        flat = flat[flat != 0] if skip_zeros else flat
        counts += np.histogram(flat, len(counts), (ends[0], ends[1]))[0]
    return counts, edges


class DoubleRule:
    """From 0 to a power of two above the largest value; the range doubles by merging pairs of bins.

    So the histogram depends on what was counted alone, not on its order or on how it came in batches. The number of
    bins is a power of two. The largest power of two, 2^128, is shown as the largest float32.
    """

    @staticmethod
    def add(x: NDArray[Any], counts: Counts | None, edges: Edges | None, bins: int,
            skip_zeros: bool) -> tuple[Counts, Edges]:
        exponent = None if edges is None else exponent_of(edges)
        if counts is None or edges is None or exponent is None:
            counts, largest = _begin(x, counts, bins, skip_zeros)
            if largest == 0:
                return counts, blank(bins)[1]
        else:
            largest = count(x, _inner_edges(exponent, bins), counts, skip_zeros)
            if largest < 2.0 ** exponent:
                return counts, edges
        grown = max(int(np.frexp(largest)[1]), SMALLEST_RANGE)
        counts = counts if exponent is None else doubled(counts, grown - exponent)
        _C.histogram(x, _inner_edges(grown, bins), counts, skip_zeros, False)
        return counts, doubling_edges(grown, bins)


def exponent_of(edges: Edges) -> int | None:
    """log2 of the range of a DoubleRule's edges; None while there is none."""
    return None if edges[-1] == 0 else int(np.frexp(edges[1])[1]) - 1 + int(len(edges) - 1).bit_length() - 1


def doubled(counts: Counts, times: int) -> Counts:
    """Counts after the range has doubled `times` times."""
    pairs = min(1 << min(times, 30), len(counts))
    merged = counts.reshape(-1, pairs).sum(1)
    return longer(merged, len(counts))


@_remembered
def _inner_edges(exponent: int, bins: int) -> Edges:
    """Edges for counting: the last one is the largest float below the range, for the range is open."""
    edges = np.arange(bins + 1) * (2.0 ** exponent / bins)
    edges[-1] = FLOAT_MAX if exponent > 127 else np.nextafter(np.float32(2.0 ** exponent), np.float32(0))
    return edges.astype(np.float32)


def doubling_edges(exponent: int, bins: int) -> Edges:
    """The edges of a DoubleRule with range 2^exponent."""
    edges = np.arange(bins + 1) * (2.0 ** exponent / bins)
    shown: Edges = np.minimum(edges, FLOAT_MAX).astype(np.float32)
    return shown


def joined(a: tuple[Counts, Edges], b: tuple[Counts, Edges]) -> tuple[Counts, Edges]:
    """Two histograms as one. One that has seen zeros only fits every other; else ValueError unless the edges agree."""
    if not has_range(a[1]) or not has_range(b[1]):
        (zeros, _), (counts, edges) = (a, b) if not has_range(a[1]) else (b, a)
        if has_range(edges) and edges[0] > 0 and zeros[0]:
            raise ValueError("Expected both histograms to begin at 0: one holds zeros, the other begins above them")
        return longer(zeros, len(counts)) + counts, edges.copy()
    if not np.array_equal(a[1], b[1]):
        raise ValueError(f"Expected histograms with the same edges, got {_shown(a[1])} and {_shown(b[1])}: ranges that "
                         "grow differently do not fit together. Collect with grow_method='double' to merge")
    return a[0] + b[0], a[1].copy()


def joined_doubling(a: tuple[Counts, Edges], b: tuple[Counts, Edges]) -> tuple[Counts, Edges]:
    """Two histograms of DoubleRule as one, with the larger range."""
    exponents = [exponent_of(edges) for _, edges in (a, b)]
    ranges = [exponent for exponent in exponents if exponent is not None]
    if not ranges:
        return a[0] + b[0], a[1].copy()
    most = max(ranges)
    counts = [row[0] if exponent is None else doubled(row[0], most - exponent)
              for row, exponent in zip((a, b), exponents, strict=True)]
    return counts[0] + counts[1], doubling_edges(most, len(counts[0]))


def _shown(edges: Edges) -> str:
    return f"[{edges[0]:.5g}, ..., {edges[-1]:.5g}]({len(edges)})"

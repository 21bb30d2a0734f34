"""What calibration keeps of a value: exact minimum and maximum, histograms of both signs if a method needs them."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._core.histogram import Counts, DoubleRule, Edges, blank, joined_doubling

BINS = 4096
Histogram = tuple[Counts, Edges]


class Collector:
    """The range of all that was seen, and histograms of positive and of negative magnitudes.

    Both depend only on the data, not on how it was split into batches. Ranges double, so memory is bounded.

    Args:
        histograms: whether to count at all.
    """

    def __init__(self, histograms: bool) -> None:
        self.low = self.high = np.float32(0)
        self.seen = 0
        self.positive: Histogram | None = blank(BINS) if histograms else None
        self.negative: Histogram | None = blank(BINS) if histograms else None

    def add(self, x: NDArray[Any]) -> None:
        """Counts an array of finite floats. ValueError for NaN or infinity: nothing of the array is counted then."""
        if x.size == 0:
            return
        low, high = np.float32(np.min(x)), np.float32(np.max(x))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(f"{np.count_nonzero(np.isnan(x))} NaN and {np.count_nonzero(np.isinf(x))} infinite values")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.seen += x.size
        if self.positive is None or self.negative is None:
            return
        flat = np.ravel(np.asarray(x, np.float32), order="K")
        if low >= 0:
            self.positive = _added(self.positive, flat)
        else:
            self.positive = _added(self.positive, flat[flat >= 0])
            self.negative = _added(self.negative, flat[flat < 0])

    def merge(self, other: Collector) -> None:
        """Adds what `other` has seen, of other data."""
        self.low, self.high, self.seen = min(self.low, other.low), max(self.high, other.high), self.seen + other.seen
        if self.positive and self.negative and other.positive and other.negative:
            self.positive = joined_doubling(self.positive, other.positive)
            self.negative = joined_doubling(self.negative, other.negative)


def _added(histogram: Histogram, x: NDArray[np.float32]) -> Histogram:
    return DoubleRule.add(x, *histogram, BINS, False) if x.size else histogram

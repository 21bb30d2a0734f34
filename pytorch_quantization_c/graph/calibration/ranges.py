"""Ranges from what was collected, by each method, and the quantiser that fits a range."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._core.errors import shown
from ..._core.histogram import doubled, doubling_edges, exponent_of
from ..._core.histogram_search import centres_of, entropy, percentile
from ..nodes import QuantizerSpec
from .collectors import Collector

Range = tuple[float, float]
METHODS = ("max", "mse", "entropy", "percentile")
AUTO = "auto"       # the better of max and mse for the whole model
LOPSIDED = 0.99     # a zero point where the width is below this part of a symmetric range's
STEPS, ROUNDS = 80, 3


def range_of(collector: Collector, method: str, share: float, spec: QuantizerSpec, two_sided: bool) -> Range:
    """The range to quantise, which holds 0: from the least to the largest value, or clipped where a method says so.

    Args:
        method: one of METHODS.
        share: for percentile, how many percent of the values to keep.
        spec: bits of the quantiser.
        two_sided: whether the two ends may be found apart.
    """
    low, high = float(collector.low), float(collector.high)
    if method == "max" or collector.positive is None or collector.negative is None or low == high:
        return low, high
    sides = collector.positive, collector.negative
    if method == "mse":
        return _least_squares(_Density(sides, low, high), _levels(spec), low, high, two_sided)
    if method == "percentile":
        return _percentile(sides, share, low, high, two_sided)
    counts, edges = _magnitudes(sides)
    amax = float(entropy(counts, edges, spec.bits, low >= 0, 1, 128))
    return max(low, -amax), min(high, amax)


def _levels(spec: QuantizerSpec) -> int:
    return (1 << spec.bits) - 1 if isinstance(spec.bits, int) else 255


def _magnitudes(sides: tuple[Any, Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Both signs in one histogram."""
    exponents = [exponent_of(edges) for _, edges in sides]
    known = [exponent for exponent in exponents if exponent is not None]
    most, bins = max(known, default=0), len(sides[0][0])
    counts = sum(side[0] if exponent is None else doubled(side[0], most - exponent)
                 for side, exponent in zip(sides, exponents, strict=True))
    return np.asarray(counts, np.int64), doubling_edges(most, bins)


def _percentile(sides: tuple[Any, Any], share: float, low: float, high: float, two_sided: bool) -> Range:
    """Ends that clip equally many values on either side; with one sign, or one amax, all on that side."""
    counts, edges = _magnitudes(sides)
    if low >= 0 or not two_sided:
        amax = float(percentile(counts, edges, share))
        return max(low, -amax), min(high, amax)
    total = sum(int(side[0].sum()) for side in sides)
    left_out = total * (100 - share) / 200
    ends = []
    for (found, bounds), limit in zip(sides, (high, -low), strict=True):
        above = np.cumsum(found[::-1])[::-1]
        at = int(np.count_nonzero(above > left_out))
        ends.append(min(limit, float(bounds[at]) if limit else 0.0))
    return -ends[1], ends[0]


class _Density:
    """Values and their counts: the centres of the bins of both signs."""

    def __init__(self, sides: tuple[Any, Any], low: float, high: float) -> None:
        values, counts = [], []
        for (found, edges), sign, end in zip(sides, (1, -1), (high, -low), strict=True):
            used = np.flatnonzero(found)
            centres = np.minimum(centres_of(edges)[used].astype(np.float64), end)
            values.append(sign * centres)
            counts.append(found[used].astype(np.float64))
        self.values, self.counts = np.concatenate(values), np.concatenate(counts)

    def error(self, low: float, high: float, levels: int) -> float:
        """Sum of squared errors when [low, high] is cut into `levels` steps, 0 being exact."""
        step = (high - low) / levels
        codes = np.clip(np.rint(self.values / step), np.rint(low / step), np.rint(high / step))
        return float(self.counts @ np.square(self.values - codes * step))


def _least_squares(density: _Density, levels: int, low: float, high: float, two_sided: bool) -> Range:
    """The range with the least squared error; an asymmetric one is found end by end."""
    if low >= 0 or high <= 0:
        return (0.0, _end(high, lambda end: density.error(0, end, levels))) if low >= 0 else \
            (-_end(-low, lambda end: density.error(-end, 0, levels)), 0.0)
    if not two_sided:
        amax = _end(max(-low, high), lambda end: density.error(-end, end, levels - 1))
        return max(low, -amax), min(high, amax)
    ends = [low, high]
    for _ in range(ROUNDS):
        before = list(ends)
        ends[1] = _end(high, lambda end: density.error(ends[0], end, levels))
        ends[0] = -_end(-low, lambda end: density.error(-end, ends[1], levels))
        if ends == before:
            break
    return ends[0], ends[1]


def _end(most: float, error: Callable[[float], float]) -> float:
    """The end of a range, at most `most`, with the least error: coarsely, then around the best."""
    tries = most * np.linspace(1 / STEPS, 1, STEPS)
    errors = [error(float(each)) for each in tries]
    best = int(np.argmin(errors))
    near = np.linspace(tries[max(best - 1, 0)], tries[min(best + 1, STEPS - 1)], 17)
    finer = [error(float(each)) for each in near]
    return float(near[int(np.argmin(finer))]) if min(finer) < errors[best] else float(tries[best])


def fitted(spec: QuantizerSpec, found: Range, zero_point: Any) -> tuple[QuantizerSpec, np.float32]:
    """The quantiser for a range: unsigned where nothing is negative, with a zero point where one side is much longer.

    Args:
        spec: bits and narrow range; a quantiser that is already unsigned stays so.
        zero_point: "auto", or False for symmetric ranges.
    """
    low, high = found
    amax = np.float32(max(-low, high))
    if spec.unsigned or isinstance(spec.bits, tuple) or zero_point is False:
        return spec, amax
    if low >= 0:
        return replace(spec, unsigned=True, narrow=False, zero_point=0), amax
    if high - low > LOPSIDED * 2 * amax:
        return spec, amax
    wide = replace(spec, unsigned=True, narrow=False, zero_point=0)
    width = np.float32(high - low)
    point = int(np.clip(np.rint(-low * (wide.bound / float(width))), 0, wide.bound))
    return replace(wide, zero_point=point), width


def widened(spec: QuantizerSpec, amax: np.float32) -> np.float32:
    """The least amax from this one on that makes the step a power of two; 0, and what is too large, stays."""
    if not 0 < amax < np.finfo(np.float32).max / 2:
        return amax
    _, exponent = np.frexp(spec.bound / float(amax))
    return np.float32(np.ldexp(spec.bound, 1 - int(exponent)))


def checked_method(method: str, share: float, known: tuple[str, ...] = METHODS) -> None:
    """ValueError for an unknown method or a percentile outside of 0 to 100."""
    if method not in known:
        raise ValueError(f"Expected `method` to be one of {', '.join(known)}, got {shown(method)}")
    if not 0 < share <= 100:
        raise ValueError(f"Expected `percentile` above 0 and up to 100, got {shown(share)}")

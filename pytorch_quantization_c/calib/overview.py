"""What calibrators have collected and the result of each method, as numbers for reports."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.block_quant import fake_float
from .._core.formats import Float, Int, number_format
from .._core.histogram import has_range
from .._core.histogram_search import centres_of, search
from .._core.progress import progress
from ..model.quantizers import named_quantizers
from .histogram import HistogramCalibrator
from .max import MaxCalibrator

__all__ = ["MethodResult", "Overview", "overviews"]

METHODS = ("entropy", "mse", "percentile")
PERCENTILE = 99.99


class MethodResult(NamedTuple):
    """What one method answers: amax of each channel, share of values above it, signal to quantisation noise in dB.

    Values count as lying in the middle of their bins; the dB is infinite without noise and NaN without a signal.
    """

    method: str
    amax: NDArray[np.float32]
    clipped: float
    sqnr: float


class Overview(NamedTuple):
    """One quantiser: its histogram, of all channels together in common bins, and what each method answers.

    Without a histogram (MaxCalibrator, nothing collected) `counts` is None.
    """

    name: str
    kind: str
    bits: str
    channels: int
    counts: NDArray[np.int64] | None
    edges: NDArray[np.float64]
    results: list[MethodResult]
    not_finite: int

    @property
    def best(self) -> MethodResult | None:
        """The method with the least noise."""
        return max(self.results, key=lambda result: result.sqnr, default=None)


def overviews(model_or_calibrator: Any) -> list[Overview]:
    """An Overview for every quantiser with a calibrator, or for the one calibrator. TypeError for anything else."""
    if hasattr(model_or_calibrator, "compute_amax"):
        calibrator = model_or_calibrator
        return [_overview(calibrator.name or type(calibrator).__name__, calibrator, None)]
    if not hasattr(model_or_calibrator, "named_modules"):
        raise TypeError(f"Expected a model or a calibrator, got {type(model_or_calibrator).__name__}")
    quantizers = [(name or "(model)", quantizer) for name, quantizer in named_quantizers(model_or_calibrator)
                  if quantizer._calibrator is not None and not quantizer._disabled]
    return [_overview(name, quantizer._calibrator, quantizer) for name, quantizer in progress(quantizers, "amax")]


def _overview(name: str, calibrator: Any, quantizer: Any) -> Overview:
    num_bits, unsigned = calibrator._num_bits, calibrator._unsigned
    format = number_format(num_bits, unsigned)
    rows = calibrator._searched_rows() if isinstance(calibrator, HistogramCalibrator) else []
    counts, edges = _pooled(rows)
    known: tuple[str, ...] = METHODS if isinstance(format, Int) else METHODS[1:]
    if min((len(each) for each, _ in rows), default=0) < 2:    # nothing to search in one bin
        known = METHODS[2:]
    amaxes = {} if counts is None else {method: _amaxes(method, rows, num_bits, unsigned) for method in known}
    if quantizer is not None and quantizer.amax is not None and counts is not None:
        loaded = np.asarray(quantizer._numbers(quantizer.amax), np.float32).ravel()
        if loaded.size in (1, len(rows)):
            amaxes["in use"] = np.broadcast_to(loaded, (len(rows),))
    results = [_result(method, amax, rows, num_bits, unsigned) for method, amax in amaxes.items()]
    if isinstance(calibrator, MaxCalibrator):
        amax = calibrator.compute_amax()
        if amax is not None:
            results.append(MethodResult("max", np.asarray(amax, np.float32).ravel(), 0.0, np.nan))
    channels = len(rows) or max((result.amax.size for result in results), default=0)
    return Overview(name, type(calibrator).__name__, str(format), channels, counts, edges, results,
                    getattr(calibrator, "_num_nan", 0) + getattr(calibrator, "_num_inf", 0))


def _pooled(rows: list[Any], bins: int = 512) -> tuple[NDArray[np.int64] | None, NDArray[np.float64]]:
    """One histogram of all rows, each bin put where its middle lies; None if no value but 0 was collected."""
    ranged = [edges for _, edges in rows if has_range(edges)]
    if not ranged:
        return None, np.zeros(1)
    low, high = min(float(edges[0]) for edges in ranged), max(float(edges[-1]) for edges in ranged)
    bins = min(bins, max(len(counts) for counts, _ in rows))
    pooled = np.zeros(bins, np.int64)
    for counts, edges in rows:
        middles = (edges[1:].astype(np.float64) + edges[:-1]) / 2
        place = np.clip(((middles - low) / (high - low) * bins).astype(int), 0, bins - 1)
        np.add.at(pooled, place, counts)
    return pooled, np.linspace(low, high, bins + 1)


def _amaxes(method: str, rows: list[Any], num_bits: Any, unsigned: bool) -> NDArray[np.float32]:
    found = []
    for counts, edges in rows:
        options: dict[str, Any] = {"percentile": PERCENTILE}
        if method != "percentile":      # the default start of 128, or less if there are few bins
            options = {"stride": 1, "start_bin": min(128, max(1, len(counts) // 16), len(counts) - 1)}
        found.append(search(method, counts, edges, num_bits, unsigned, options))
    return np.array(found, np.float32)


def _result(method: str, amax: NDArray[np.float32], rows: list[Any], num_bits: Any, unsigned: bool) -> MethodResult:
    total = clipped = 0
    format = number_format(num_bits)
    signal = noise = 0.0
    for limit, (counts, edges) in zip(amax, rows, strict=True):
        middles = centres_of(edges)
        quantised = fake_float(middles, limit, format) if isinstance(format, Float) else \
            _C.fake_quant(np.abs(middles), limit, num_bits, unsigned, True)
        total += int(counts.sum())
        clipped += int(counts[middles > limit].sum())
        signal += float(counts @ middles.astype(np.float64) ** 2)
        noise += float(counts @ (quantised.astype(np.float64) - middles) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sqnr = float(10 * np.log10(np.float64(signal) / noise))
    return MethodResult(method, amax, clipped / total if total else 0.0, sqnr)

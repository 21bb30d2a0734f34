"""Calibrator that keeps a histogram of magnitudes."""
from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .. import utils as quant_utils  # noqa: F401  (a name of the original's module)
from .._core.axes import Axis, axes_to_reduce
from .._core.calibrator import both_locked, one_at_a_time
from .._core.errors import shown
from .._core.formats import E4M3, Int, number_format
from .._core.histogram import (
    MAX_BINS,
    DoubleRule,
    NotFinite,
    NumpyRule,
    TorchRule,
    blank,
    is_doubling,
    is_histogram,
    joined,
    joined_doubling,
)
from .._core.histogram_search import (
    checked_options,
    report_clipping,
    search,
    up_to_the_largest,
    warn_of_small_percentile,
)
from ..tensor_quant import fake_tensor_quant, scaled_e4m3  # noqa: F401
from .calibrator import _Calibrator
from .merging import check_same
from .weights import calibrate_weights

if TYPE_CHECKING:
    from .. import nn as quant_nn  # noqa: F401

__all__ = ["HistogramCalibrator", "calibrate_weights"]

Rows = list[tuple[NDArray[np.int64], NDArray[np.float32]]]
STRIDED = 1 << 23     # bytes gathered at a time from all over an array: some 20 ms
SHORT = 64      # a channel in pieces of fewer elements is copied together
SAME = ("num_bits", "axis", "unsigned", "skip_zeros", "torch_hist", "grow_method")


def __getattr__(name: str) -> Any:
    if name == "quant_nn":  # a name of the original's module; the layers use this one
        return import_module("..nn", __package__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class HistogramCalibrator(_Calibrator):
    """A histogram of all magnitudes collected; amax is searched in it by entropy, squared error or percentile.

    Memory does not grow with the number of batches: no array is kept.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor. With an `axis` there is one histogram for each of its indices.
        num_bins: how many bins to begin with, from 1 to 2^24.
        grow_method: what happens when a batch exceeds the range of those before. None (any other string is taken for
            it): bins of the first batch's width are appended, so the histogram depends on the order of the batches, and
            a small first batch makes it large. "double": the range is a power of two and doubles by merging pairs of
            bins. The histogram is then the same, bit for bit, however the data are cut into batches and in whatever
            order they come, and histograms of parts of the data can be merged; num_bins must be a power of two.
        skip_zeros: leave zeros out.
        torch_hist: bins as torch.histc makes them, from 0 on. False: as np.histogram makes them, from the least
            magnitude of the first batch on; smaller ones in later batches are then lost. No matter with "double".

    NaN and infinities raise ValueError, with the quantiser's name; nothing of that batch is kept then. With "double"
    they are left out, counted in `num_nan` and `num_inf`, and reported once. Until a value other than 0 has come there
    is no range; amax is 0 then.
    """

    _kinds = {
        **_Calibrator._kinds, "_num_bins": (int,), "_grow_method": (str, type(None)), "_skip_zeros": (bool,),
        "_torch_hist": (bool,), "_calib_hist": (np.ndarray, list, type(None)), "_num_nan": (int,), "_num_inf": (int,),
        "_first_bins": (int, type(None)),
        "_calib_bin_edges": (np.ndarray, list, type(None)), "_amax_shape": (tuple, type(None)),
    }

    #: The `num_bins` it was made with, once the histogram has grown.
    _first_bins: int | None = None

    def __init__(self, num_bits: int | tuple[int, int], axis: Axis, unsigned: bool, num_bins: int = 2048,
                 grow_method: str | None = None, skip_zeros: bool = False, torch_hist: bool = True) -> None:
        super().__init__(num_bits, axis, unsigned)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int | np.integer):
            raise TypeError(f"Expected `num_bins` to be an integer, got {shown(num_bins)}")
        doubles = grow_method == "double"
        if not 1 <= num_bins <= 1 << 24 or (doubles and (num_bins < 2 or num_bins & (num_bins - 1))):
            raise ValueError(f"Expected `num_bins` from 1 to 2^24{', a power of two' * doubles}, got {num_bins}")
        self._num_bins = int(num_bins)
        self._grow_method = "double" if doubles else None
        self._skip_zeros = bool(skip_zeros)
        self._torch_hist = bool(torch_hist)
        self._calib_hist: NDArray[np.int64] | list[NDArray[np.int64]] | None = None
        self._calib_bin_edges: NDArray[np.float32] | list[NDArray[np.float32]] | None = None
        self._amax_shape: tuple[int, ...] | None = None
        self._num_nan = 0
        self._num_inf = 0

    @property
    def histogram(self) -> tuple[Any, Any] | None:
        """Counts (int64) and edges of the bins (float32) as new arrays; with an `axis` two lists, an array for each of
        its indices. None if nothing was collected."""
        rows = [(np.array(counts), np.array(edges)) for counts, edges in self._rows()]
        if not rows:
            return None
        return rows[0] if self._axis is None else ([row[0] for row in rows], [row[1] for row in rows])

    @property
    def num_nan(self) -> int:
        """How many NaN were left out."""
        return self._num_nan

    @property
    def num_inf(self) -> int:
        """How many infinities were left out."""
        return self._num_inf

    @one_at_a_time
    def collect(self, x: Any) -> None:
        """Counts the magnitudes of `x`; float64 is rounded to float32 first. An empty `x` counts as nothing.

        Raises:
            TypeError: `x` is not an array of floats.
            ValueError: `x` (but for "double") holds NaN or infinities, is too large for the bins, or does not have the
                axis.
            RuntimeError: another number of channels than before.
        """
        array = self._to_array(x)
        reduced = axes_to_reduce(self._axis, array.shape, self._owner()) or []
        if array.size == 0:
            return
        if self._axis is None:
            self._collect_rows([np.ravel(array, order="K")], ())
            return
        kept = [i for i in range(array.ndim) if i not in reduced]
        shape = tuple(1 if i in reduced else n for i, n in enumerate(array.shape))
        shape = () if np.prod(shape) == 1 else shape     # as reduce_amax
        if self._amax_shape not in (None, shape):
            raise RuntimeError(f"amax shape changed! Expected {self._amax_shape}, got {shape}")
        channels = np.transpose(array, kept + reduced)
        if kept and np.prod(array.shape[kept[-1] + 1:]) < SHORT:
            channels = _contiguous(channels)
        self._collect_rows([channels[place] for place in np.ndindex(*(array.shape[i] for i in kept))], shape)

    def _collect_rows(self, rows: list[NDArray[Any]], shape: tuple[int, ...]) -> None:
        rule = DoubleRule if self._grow_method else TorchRule if self._torch_hist else NumpyRule
        before: Any = self._rows() or [(None, None)] * len(rows)
        found, nans, infs = [], 0, 0
        for row, (counts, edges) in zip(rows, before, strict=True):
            if len(rows) > 1 and counts is not None:
                counts = counts.copy()              # a later row may raise
            try:
                counts, edges = rule.add(row, counts, edges, self._num_bins, self._skip_zeros)
            except NotFinite:
                row, (nan, inf) = self._finite(row)
                nans, infs = nans + nan, infs + inf
                if row.size:
                    counts, edges = rule.add(row, counts, edges, self._num_bins, self._skip_zeros)
                elif counts is None:
                    counts, edges = blank(self._num_bins)
            found.append((counts, edges))
        if nans or infs:
            self._report_not_finite()
        self._num_nan, self._num_inf = self._num_nan + nans, self._num_inf + infs
        self._amax_shape = shape
        self._set_rows(found)

    def _finite(self, row: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int]]:
        """The finite part of a row, and how many NaN and infinities are left out; ValueError unless they may be."""
        _, _, _, nans, infs = _C.magnitudes(row)
        if self._nonfinite == "raise" or (self._nonfinite is None and self._grow_method is None):
            self._refuse_not_finite(nans, infs)
        with np.errstate(over="ignore"):
            return row[np.isfinite(row.astype(np.float32))], (nans, infs)

    def _rows(self) -> Rows:
        """Each channel's counts and edges; an empty list if nothing was collected."""
        hist, edges = self._calib_hist, self._calib_bin_edges
        if hist is None or edges is None:
            return []
        if isinstance(hist, list) or isinstance(edges, list):
            return list(zip(hist, edges, strict=True))
        return [(hist, edges)]

    def _set_rows(self, rows: Rows) -> None:
        if self._axis is not None:
            self._calib_hist, self._calib_bin_edges = [row[0] for row in rows], [row[1] for row in rows]
            return
        self._calib_hist, self._calib_bin_edges = rows[0]
        if self._torch_hist and not self._grow_method:
            if self._first_bins is None and self._num_bins != len(self._calib_hist):
                self._first_bins = self._num_bins
            self._num_bins = len(self._calib_hist)      # which a reset keeps, as in the original

    @one_at_a_time
    def reset(self) -> None:
        """Forgets what was collected."""
        self._calib_hist = self._calib_bin_edges = self._amax_shape = None
        self._num_nan = self._num_inf = 0
        self._warned = False

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._num_bins = self._first_bins or self._num_bins

    @one_at_a_time
    def compute_amax(self, method: str | None = None, *, stride: int | None = None, start_bin: int | None = None,
                     percentile: float | None = None, **options: Any) -> Any:
        """The amax, a fresh float32 array: 0-d, or with one element for each channel; None if nothing was collected.

        What was collected does not change: more methods can be tried, and more batches collected.

        Args:
            method: "entropy" (least divergence), "mse" (least squared error) or "percentile". None means "entropy", or
                "mse" for E4M3, for which there is no entropy, and "percentile" for other small floats.
            stride: for entropy and mse, try every stride-th bin. Default 1.
            start_bin: for entropy and mse, the first bin to try. Default 128.
            percentile: for percentile, how many percent of the values to keep. Default 99.99.

        Raises:
            TypeError: an unknown method or option, entropy for E4M3. Another method's option is ignored.
            ValueError: an option out of range.
        """
        given = {"stride": stride, "start_bin": start_bin, "percentile": percentile}
        options.update({name: value for name, value in given.items() if value is not None})
        if method is None:
            format = number_format(self._num_bits)
            method = "entropy" if isinstance(format, Int) else "mse" if format == E4M3 else "percentile"
        options = checked_options(method, options)
        warn_of_small_percentile(options)
        rows = self._searched_rows()
        if not rows:
            return None
        found = [search(method, *row, self._num_bits, self._unsigned, _within(options, method, self._num_bins, row))
                 for row in rows]
        report_clipping(self._owner(), method, rows, found, options)
        shape = self._amax_shape or ()
        return self._from_array(np.array(found, np.float32).reshape(shape))

    def _searched_rows(self) -> Rows:
        """The rows in which amax is searched: ranges that are powers of two end far above the largest value."""
        rows = self._rows()
        return [up_to_the_largest(*row) for row in rows] if self._grow_method else rows

    def merge(self, other: HistogramCalibrator) -> None:
        """Adds what `other` has collected from other data; `other` is unchanged.

        With grow_method="double" the result is what one calibrator would have collected of all the data, bit for bit.

        Raises:
            TypeError: `other` is not a HistogramCalibrator.
            ValueError: the two are set up differently or, but with "double", have other edges.
        """
        if not isinstance(other, HistogramCalibrator):
            raise TypeError(f"Expected `other` to be a HistogramCalibrator, got {type(other).__name__}")
        with both_locked(self, other):
            self._merge(other)

    def _merge(self, other: HistogramCalibrator) -> None:
        check_same(self, other, SAME + ("num_bins",) * (self._grow_method is not None))
        mine, theirs = self._rows(), other._rows()
        if mine and theirs and self._amax_shape != other._amax_shape:
            raise ValueError(f"Expected `other` to have channels of shape {self._amax_shape}, got {other._amax_shape}")
        join = joined_doubling if self._grow_method else joined
        if theirs:
            rows = [join(a, b) for a, b in zip(mine, theirs, strict=True)] if mine else \
                [(counts.copy(), edges.copy()) for counts, edges in theirs]
            self._amax_shape = other._amax_shape
            self._set_rows(rows)
        self._num_nan, self._num_inf = self._num_nan + other._num_nan, self._num_inf + other._num_inf

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        state = {**vars(self), **state}
        hist, edges, bins = state["_calib_hist"], state["_calib_bin_edges"], state["_num_bins"]
        several = all(isinstance(each, list) for each in (hist, edges)) and len(hist) == len(edges)
        none = all(each is None for each in (hist, edges))
        rows: list[Any] = [] if none else list(zip(hist, edges, strict=True)) if several else [(hist, edges)]
        doubles = state["_grow_method"] == "double"
        first = state.get("_first_bins")
        first = bins if first is None else first
        if not (1 <= bins <= MAX_BINS and 1 <= first <= MAX_BINS
                and len(rows) == (0 if none else math.prod(state["_amax_shape"] or ()))
                and all(is_histogram(*row) and (not doubles or is_doubling(row[0], row[1], bins)) for row in rows)):
            raise ValueError("Expected a file of a calibrator, but what it holds is no histogram")

    def __str__(self) -> str:
        rows, text = self._rows(), "None"
        if rows:
            low, high = min(edges[0] for _, edges in rows), max(edges[-1] for _, edges in rows)
            text = f"[{low:.3f}, ..., {high:.3f}]({max(len(edges) for _, edges in rows)})"
        return f"HistogramCalibrator(calib_bin_edges={text}{f' x {len(rows)}' if len(rows) > 1 else ''})"

    def __repr__(self) -> str:
        return (f"HistogramCalibrator({super().__repr__()} calib_bin_edges={self._calib_bin_edges} "
                f"calib_hist={self._calib_hist})")


def _within(options: dict[str, Any], method: str, bins: int, row: tuple[Any, Any]) -> dict[str, Any]:
    """The options for a row of `bins` bins without the empty ones at its end: a start among these is the last bin."""
    last, start = len(row[0]) - (method == "mse"), options.get("start_bin", 0)
    within = isinstance(start, int | np.integer) and last < start <= bins - (method == "mse")
    return options | {"start_bin": last} if within and len(row[0]) < bins else options


def _amax_of(method: str, calib_hist: Any, calib_bin_edges: Any, num_bits: Any, unsigned: bool, **options: Any) -> Any:
    if calib_bin_edges is None and calib_hist is None:
        return None
    counts = np.asarray(calib_hist)
    counts = counts if counts.dtype == np.int64 else counts.astype(np.int64)
    return np.array(search(method, counts, np.asarray(calib_bin_edges), num_bits, unsigned, options), np.float32)


def _compute_amax_entropy(calib_hist: Any, calib_bin_edges: Any, num_bits: Any, unsigned: bool, stride: int = 1,
                          start_bin: int = 128) -> Any:
    """The amax of one histogram by least divergence; None without one."""
    return _amax_of("entropy", calib_hist, calib_bin_edges, num_bits, unsigned, stride=stride, start_bin=start_bin)


def _compute_amax_mse(calib_hist: Any, calib_bin_edges: Any, num_bits: Any, unsigned: bool, stride: int = 1,
                      start_bin: int = 128) -> Any:
    """The amax of one histogram by least squared error; None without one."""
    return _amax_of("mse", calib_hist, calib_bin_edges, num_bits, unsigned, stride=stride, start_bin=start_bin)


def _compute_amax_percentile(calib_hist: Any, calib_bin_edges: Any, percentile: float) -> Any:
    """The amax of one histogram that keeps this many percent of the values; None without one."""
    options = checked_options("percentile", {"percentile": percentile})
    return _amax_of("percentile", calib_hist, calib_bin_edges, None, False, **options)


def _contiguous(x: NDArray[Any]) -> NDArray[Any]:
    """As `np.ascontiguousarray`, in pieces along the longest axis: Ctrl-C is answered between two of them."""
    if x.nbytes <= STRIDED:
        return np.ascontiguousarray(x)
    copy = np.empty(x.shape, x.dtype)
    to, source = (np.moveaxis(each, int(np.argmax(x.shape)), 0) for each in (copy, x))
    step = max(1, len(source) * STRIDED // x.nbytes)
    for at in range(0, len(source), step):
        to[at:at + step] = source[at:at + step]
    return copy

"""Calibrator that keeps a histogram of magnitudes."""
# pyright: reportIncompatibleVariableOverride=false
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..._core.histogram_search import checked_options, search
from ..._core.models import require_front
from ...calib import histogram as array_histogram
from ...model.weight_calibration import calibrate_weights_of
from .. import utils as quant_utils
from .._convert import as_array, as_tensor
from ..tensor_quant import fake_tensor_quant, scaled_e4m3
from .calibrator import TensorCalibrator

if TYPE_CHECKING:
    from .. import nn as quant_nn

__all__ = ["HistogramCalibrator", "calibrate_weights", "fake_tensor_quant", "quant_nn", "quant_utils", "scaled_e4m3"]


def __getattr__(name: str) -> Any:
    if name == "quant_nn":  # a name of the original's module; the layers use this one
        return import_module("..nn", __package__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _plain(shown: Any) -> Any:
    """A channel's counts or edges as an array."""
    return as_array(shown) if isinstance(shown, Tensor) else np.asarray(shown)


def _plain_row(counts: Any, edges: Any) -> tuple[Any, Any]:
    """As arrays: counts as integers, where the original counts in floats; edges in the precision that they grow in."""
    return _plain(counts).astype(np.int64, copy=False), _plain(edges)


class HistogramCalibrator(TensorCalibrator, array_histogram.HistogramCalibrator):
    """A histogram of all magnitudes collected; amax is searched in it by entropy, squared error or percentile.

    Arguments and methods are those of the NumPy package's `HistogramCalibrator`. The histogram stays in NumPy arrays on
    the CPU; with `torch_hist` it shows itself in tensors, on the same memory.
    """

    # Objects that were pickled by the original lack these.
    _amax_shape: tuple[int, ...] | None = None
    _num_nan = 0
    _num_inf = 0
    _warned = False

    @property
    def _calib_hist(self) -> Any:
        return self._shown("_calib_hist")

    @_calib_hist.setter
    def _calib_hist(self, value: Any) -> None:
        vars(self)["_calib_hist"] = value

    @property
    def _calib_bin_edges(self) -> Any:
        return self._shown("_calib_bin_edges")

    @_calib_bin_edges.setter
    def _calib_bin_edges(self, value: Any) -> None:
        vars(self)["_calib_bin_edges"] = value

    def _shown(self, name: str) -> Any:
        kept = vars(self)[name]
        return as_tensor(kept) if self._torch_hist and isinstance(kept, np.ndarray) else kept

    def _rows(self) -> array_histogram.Rows:
        shown = super()._rows()
        return [_plain_row(*row) for row in shown]

    def collect(self, x: Any) -> None:
        """Counts the magnitudes of `x`. With `torch_hist`, RuntimeError where the base raises ValueError."""
        try:
            super().collect(x)
        except ValueError as problem:
            if not self._torch_hist or isinstance(problem, RuntimeError):
                raise
            raise RuntimeError(str(problem)) from problem


def _found(method: str, counts: Any, edges: Any, num_bits: Any, unsigned: bool, **options: Any) -> Tensor | None:
    """The amax of one histogram, given as tensors or arrays; None of none."""
    if counts is None or edges is None:
        return None
    amax = search(method, *_plain_row(counts, edges), num_bits, unsigned, checked_options(method, options))
    return as_tensor(np.array(amax))


def _compute_amax_entropy(calib_hist: Any, calib_bin_edges: Any, num_bits: Any, unsigned: bool, stride: int = 1,
                          start_bin: int = 128) -> Tensor | None:
    """`compute_amax("entropy")` of a histogram, under the original's private name."""
    return _found("entropy", calib_hist, calib_bin_edges, num_bits, unsigned, stride=stride, start_bin=start_bin)


def _compute_amax_mse(calib_hist: Any, calib_bin_edges: Any, num_bits: Any, unsigned: bool, stride: int = 1,
                      start_bin: int = 128) -> Tensor | None:
    """`compute_amax("mse")` of a histogram, under the original's private name."""
    return _found("mse", calib_hist, calib_bin_edges, num_bits, unsigned, stride=stride, start_bin=start_bin)


def _compute_amax_percentile(calib_hist: Any, calib_bin_edges: Any, percentile: float) -> Tensor | None:
    """`compute_amax("percentile")` of a histogram, under the original's private name."""
    return _found("percentile", calib_hist, calib_bin_edges, 8, False, percentile=percentile)


def calibrate_weights(model: Any, method: str = "percentile", perchannel: bool = True, percentile: float = 99.99,
                      num_bins: int = 2048) -> None:
    """Sets the amax of every weight quantiser in `model` from the weights themselves.

    Arguments and errors are those of `pytorch_quantization_c.calib.calibrate_weights`.
    """
    require_front(model, "torch", "calib.calibrate_weights")
    calibrate_weights_of(model, as_array, method, perchannel, percentile, num_bins)

"""Calibrators: they watch the arrays that pass a quantiser and find its range.

`calib.distributed` calibrates on many machines; it is imported on request, with Dask.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import on_request
from .max import MaxCalibrator

if TYPE_CHECKING:
    from .histogram import HistogramCalibrator
    from .plotting import plot
    from .range import RangeCalibrator
    from .reporting import report
    from .weights import calibrate_weights

__all__ = ["HistogramCalibrator", "MaxCalibrator", "RangeCalibrator", "calibrate_weights", "plot", "report"]

_HOMES = {"histogram": "HistogramCalibrator", "plotting": "plot", "range": "RangeCalibrator", "reporting": "report",
          "weights": "calibrate_weights"}

__getattr__, __dir__ = on_request(__name__, _HOMES)

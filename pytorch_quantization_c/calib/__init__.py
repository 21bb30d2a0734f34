"""Calibrators: they watch the arrays that pass a quantiser and find its range.

`calib.distributed` calibrates on many machines; it is imported on request, with Dask.
"""
from .histogram import HistogramCalibrator
from .max import MaxCalibrator
from .plotting import plot
from .reporting import report
from .weights import calibrate_weights

__all__ = ["HistogramCalibrator", "MaxCalibrator", "calibrate_weights", "plot", "report"]

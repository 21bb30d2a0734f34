"""Calibrators: they watch the arrays that pass a quantiser and find its range."""
from .histogram import HistogramCalibrator
from .max import MaxCalibrator
from .weights import calibrate_weights

__all__ = ["HistogramCalibrator", "MaxCalibrator", "calibrate_weights"]

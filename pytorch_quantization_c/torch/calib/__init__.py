"""Calibrators: they watch the tensors that pass a quantiser and find its range."""
from ...calib.plotting import plot
from ...calib.reporting import report
from .histogram import HistogramCalibrator, calibrate_weights
from .max import MaxCalibrator
from .range import RangeCalibrator

__all__ = ["HistogramCalibrator", "MaxCalibrator", "RangeCalibrator", "calibrate_weights", "plot", "report"]

"""Calibrators: they watch the arrays that pass a quantiser and find its range."""
from .max import MaxCalibrator

__all__ = ["MaxCalibrator"]

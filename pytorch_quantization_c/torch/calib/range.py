"""Calibrator that keeps minimum and maximum: for quantisers with a zero point."""
from __future__ import annotations

from ...calib import range as array_range
from .calibrator import TensorCalibrator

__all__ = ["RangeCalibrator"]


class RangeCalibrator(TensorCalibrator, array_range.RangeCalibrator):
    """The range from min(x, 0) to max(x, 0) of everything collected, for each index of `axis` its own.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor; only `axis` matters here.

    What was collected lies in NumPy arrays.
    """

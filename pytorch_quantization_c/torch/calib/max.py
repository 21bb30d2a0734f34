"""Calibrator that keeps the largest absolute value."""
from __future__ import annotations

from ... import calib
from .. import utils as quant_utils
from .calibrator import TensorCalibrator

__all__ = ["MaxCalibrator", "quant_utils"]


class MaxCalibrator(TensorCalibrator, calib.MaxCalibrator):
    """amax is the largest absolute value of everything collected, for each index of `axis` its own.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor; only `axis` matters here.
        track_amax: keep the amax of every batch in `amaxs`, as NumPy arrays.
    """

"""What a quantiser is made of, by name: written, read, copied and carried from front to front by these tables."""
from __future__ import annotations

from typing import Any

__all__ = ["CALIBRATORS", "SETTINGS", "STATE", "SWITCHES", "method_of"]

STATE = ("_amax", "_pre_quant_scale")  # arrays
# Attributes, after an underscore.
SETTINGS = ("num_bits", "fake_quant", "axis", "learn_amax", "scale_amax", "unsigned", "narrow_range")
SWITCHES = ("disabled", "if_quant", "if_clip", "if_calib")
CALIBRATORS = {"max": "MaxCalibrator", "histogram": "HistogramCalibrator"}  # classes of `calib`, by `calib_method`


def method_of(calibrator: Any) -> str:
    """The `calib_method` that makes such a calibrator; "max" for a class of one's own."""
    name = type(calibrator).__name__
    return next((method for method, made in CALIBRATORS.items() if made == name), "max")

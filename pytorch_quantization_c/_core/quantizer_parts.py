"""What a quantiser is made of, by name: written, read, copied and carried from front to front by these tables."""
from __future__ import annotations

from typing import Any

from .blocks import Blocks

__all__ = ["CALIBRATORS", "SETTINGS", "STATE", "SWITCHES", "USUAL", "method_of", "new_calibrator",
           "written_settings"]

STATE = ("_amin", "_amax", "_pre_quant_scale")  # arrays
# Attributes, after an underscore.
SETTINGS = ("num_bits", "fake_quant", "axis", "learn_amax", "scale_amax", "unsigned", "narrow_range", "block_sizes",
            "zero_point")
USUAL = {"block_sizes": None, "zero_point": False}  # settings that are left out of files where they are this
SWITCHES = ("disabled", "if_quant", "if_clip", "if_calib")
CALIBRATORS = {"max": "MaxCalibrator", "histogram": "HistogramCalibrator",  # classes of `calib`, by `calib_method`
               "range": "RangeCalibrator"}  # the one of quantisers with a zero point


def method_of(calibrator: Any) -> str:
    """The `calib_method` that makes such a calibrator; "max" for a custom class."""
    name = type(calibrator).__name__
    return "histogram" if name == CALIBRATORS["histogram"] else "max"


def new_calibrator(calib: Any, quantizer: Any, method: str) -> Any:
    """The calibrator of a quantiser's settings, of the front whose package `calib` this is."""
    blocks = quantizer._block_sizes
    if method == "max" and blocks is not None and not blocks.is_dynamic:
        return calib.MaxCalibrator(quantizer._num_bits, None, quantizer._unsigned, block_size=blocks.size)
    return getattr(calib, CALIBRATORS[method])(quantizer._num_bits, quantizer._axis, quantizer._unsigned)


def written_settings(quantizer: object) -> dict[str, Any]:
    """Settings and switches of a quantiser as a file has them: plain data, without those of `USUAL`."""
    found: dict[str, Any] = {}
    for key in SETTINGS + SWITCHES:
        value = getattr(quantizer, "_" + key)
        if isinstance(value, Blocks):
            value = {str(name): each for name, each in value.as_dict().items()}
        if key not in USUAL or value != USUAL[key]:
            found[key] = value
    return found

"""Base class of the calibrators, for people who write their own."""
from .._core.calibrator import _Calibrator

__all__ = ["_Calibrator"]

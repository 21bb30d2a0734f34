"""Base class of the calibrators, for custom ones."""
from .._core.calibrator import _Calibrator

__all__ = ["_Calibrator"]

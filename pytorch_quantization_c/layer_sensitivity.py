"""Deprecated: these names have moved to `pytorch_quantization_c.model.sensitivity`, and still work from here."""
from .model.sensitivity import Sensitivity, SensitivityRow, sensitivity

__all__ = ["Sensitivity", "SensitivityRow", "sensitivity"]

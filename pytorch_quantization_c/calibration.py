"""Deprecated: these names have moved to `pytorch_quantization_c.model.calibrating`, and still work from here."""
from .model.calibrating import calibrating

__all__ = ["calibrating"]

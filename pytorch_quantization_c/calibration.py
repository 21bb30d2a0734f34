"""Deprecated: these names have moved to `pytorch_quantization_c.model.calibrating`, and go on working from here."""
from .model.calibrating import calibrating

__all__ = ["calibrating"]

"""Helpers for tensors and for logging."""
from . import quant_logging
from .reduce_amax import reduce_amax

__all__ = ["quant_logging", "reduce_amax"]

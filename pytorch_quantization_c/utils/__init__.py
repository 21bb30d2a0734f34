"""Helpers for arrays and for logging."""
from .reduce_amax import reduce_amax

__all__ = ["reduce_amax"]

"""Methods that reduce quantisation error: functions of arrays, independent of models."""
from __future__ import annotations

from .adaround import adaround
from .bias_absorption import absorb_bias
from .equalization import equalize
from .gptq import gptq
from .scaling import awq, smoothquant
from .weight_range import weight_range

__all__ = ["absorb_bias", "adaround", "awq", "equalize", "gptq", "smoothquant", "weight_range"]

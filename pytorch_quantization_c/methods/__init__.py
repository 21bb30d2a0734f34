"""Methods that lessen what quantisation costs: array functions, which know no model."""
from __future__ import annotations

from .adaround import adaround
from .equalization import equalize
from .gptq import gptq
from .scaling import awq, smoothquant
from .weight_range import weight_range

__all__ = ["adaround", "awq", "equalize", "gptq", "smoothquant", "weight_range"]

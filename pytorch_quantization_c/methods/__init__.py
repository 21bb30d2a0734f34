"""Methods that lessen what quantisation costs: array functions, which know no model."""
from __future__ import annotations

from .adaround import adaround
from .gptq import gptq
from .weight_range import weight_range

__all__ = ["adaround", "gptq", "weight_range"]

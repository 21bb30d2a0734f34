"""The line that a quantiser prints of itself."""
from __future__ import annotations

import sys

import numpy as np

from .host import A
from .lazy_logger import get_logger
from .quantizer_ranges import QuantizerRanges

__all__ = ["QuantizerText", "tell_reader"]

logger = get_logger(__name__)


def tell_reader(message: str) -> None:
    """Warns the reader of a property, but not torch's tracers, which read every attribute of a module."""
    if not sys._getframe(2).f_globals.get("__name__", "").startswith("torch."):
        logger.warning(message)


class QuantizerText(QuantizerRanges[A]):
    """`extra_repr` of a quantiser, and its parts."""

    def _short_amax(self, fmt: str = ".4f") -> str:
        if self.amax is None:
            return "dynamic"
        numbers = self._numbers(self.amax)
        if numbers.size == 1:
            return format(float(numbers.item()), fmt)
        if numbers.size == 0:
            return "[](0)"
        return f"[{float(numbers.min()):{fmt}}, {float(numbers.max()):{fmt}}]({numbers.size})"

    def _short_amin(self) -> str:
        numbers = self._numbers(self.amin)
        if numbers.size == 1:
            return f"{float(numbers.item()):.4f}"
        return f"[{float(numbers.min()):.4f}, {float(numbers.max()):.4f}]({numbers.size})" if numbers.size else "[](0)"

    def _short_scale(self) -> str:
        if isinstance(self._scale, float):
            return str(self._scale)
        numbers = self._numbers(self._scale)
        return str(numbers.item()) if numbers.ndim == 0 else np.array2string(numbers, precision=4)

    def extra_repr(self) -> str:
        """The settings in one line, as the original writes them."""
        if self._disabled:
            return "disabled"
        parts = [
            f"{'unsigned ' if self._unsigned else ''}{self._num_bits}bit",
            "narrow" if self._narrow_range else "",
            "fake" if self._fake_quant else "",
            ("per-tensor" if self._block_sizes is None else "") if self._axis is None else f"axis={self._axis}",
            f"block_sizes={self._block_sizes}" if self._block_sizes is not None else "",
            "zero_point" if self._zero_point else "",
            f"amin={self._short_amin()}" if self.amin is not None else "",
            f"amax={self._short_amax()}",
            f"*{self._scale_amax}" if self._scale_amax else "",
            "pre_quant_scale" if self.pre_quant_scale is not None else "",
            "learned" if self._learn_amax else "",
            f"calibrator={type(self._calibrator).__name__}" if self._calibrator is not None else "",
            f"scale={self._short_scale()}" if self._scale is not None else "",
            "quant" if self._if_quant else "",
            "clip" if self._if_clip else "",
            "calib" if self._if_calib else "",
        ]
        return " ".join(part for part in parts if part)

"""Signal to quantisation noise ratios."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Ratio", "decibels", "noise_share"]


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinity without noise, minus infinity without signal."""
    if noise <= 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def noise_share(value: float) -> float:
    """Noise / signal for a ratio in dB; infinity beyond float64, as a damaged file may say."""
    return math.inf if value < -3000 else 10 ** (-value / 10)


@dataclass
class Ratio:
    """Powers of a signal and of its noise, summed in float64 over all that was compared."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: Any, got: Any) -> None:
        """Adds an array and its approximation."""
        wanted = np.asarray(expected, np.float64)
        self.signal += float(np.sum(wanted * wanted))
        self.noise += float(np.sum((wanted - got) ** 2))

    @property
    def sqnr(self) -> float:
        """In dB, see `decibels`."""
        return decibels(self.signal, self.noise)

"""High biases of a layer, absorbed by the next layer, so that the activation between needs a smaller range.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction (2019),
section 4.1.3. With y = max(W1 x + b1, 0) and c = max(0, mean - 3 * deviation) of each channel of W1 x + b1, nearly
always y - c = max(W1 x + b1 - c, 0), so that b1 - c and b2 + W2 c give nearly the same outputs.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core.noise import decibels
from .grid import Array, finite

__all__ = ["absorb_bias"]

DEVIATIONS = 3.0


def absorb_bias(bias: ArrayLike, weight: ArrayLike, next_bias: ArrayLike, mean: ArrayLike,
                deviation: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """The biases of two layers with a ReLU between them, the first one's high parts moved into the second one's.

    Exact for inputs whose channels stay above c; computed in float64 and rounded once.

    Args:
        bias: of the first layer, (channels,).
        weight: of the layer that reads it, (out, channels, ...), without padding; of a depthwise convolution, whose
            weight is (channels, 1, ...), pass what `numpy.diag` makes of the sums over its kernel.
        next_bias: of that layer, (out,).
        mean, deviation: of each channel that the first layer gives ahead of the ReLU, (channels,).

    Returns:
        The two biases, each of its type.

    Raises:
        TypeError: an array that holds no floats.
        ValueError: NaN or infinity, negative deviations, or shapes that do not fit.
    """
    given = {"bias": bias, "weight": weight, "next_bias": next_bias, "mean": mean, "deviation": deviation}
    a, w, b, m, d = (finite(value, name) for name, value in given.items())
    if a.ndim != 1 or w.ndim < 2 or w.shape[1] != len(a):
        raise ValueError(f"Expected `weight` of shape (out, channels, ...) and `bias` of shape (channels,), got "
                         f"{w.shape} and {a.shape}")
    for name, array, shape in (("next_bias", b, w.shape[:1]), ("mean", m, a.shape), ("deviation", d, a.shape)):
        if array.shape != shape:
            raise ValueError(f"Expected `{name}` of shape {shape}, got {array.shape}")
    if (d < 0).any():
        raise ValueError(f"Expected `deviation` >= 0, got {d.min()}")
    high = absorbed(m.astype(np.float64), d.astype(np.float64))
    sums = w.astype(np.float64).reshape(len(w), len(a), -1).sum(axis=2)
    return np.asarray(a - high, a.dtype), np.asarray(b + sums @ high, b.dtype)


def absorbed(mean: Array, deviation: Array) -> Array:
    """c of each channel."""
    return np.asarray(np.maximum(0, mean - DEVIATIONS * deviation))


class ChannelSpread:
    """The mean and the deviation of each channel, accumulated from arrays.

    Args:
        axis: of the channels.
    """

    def __init__(self, axis: int) -> None:
        self.axis, self.count = axis, 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0
        self._most: Any = 0.0

    def add(self, array: NDArray[Any]) -> None:
        """Counts an array. ValueError for NaN or infinity."""
        wide = np.moveaxis(array, self.axis, 0).reshape(array.shape[self.axis], -1).astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError("Expected finite outputs of layers, got NaN or infinity")
        self._most = np.maximum(self._most, wide.max(axis=1, initial=0))
        self._sum = self._sum + wide.sum(axis=1)
        self._squares = self._squares + np.square(wide).sum(axis=1)
        self.count += wide.shape[1]

    def absorbed(self) -> Array:
        """c of each channel."""
        mean = self._sum / max(self.count, 1)
        return absorbed(mean, np.sqrt(np.maximum(self._squares / max(self.count, 1) - np.square(mean), 0)))

    def decibels(self) -> tuple[float, float]:
        """Signal to noise ratio of the ReLU's output, rounded to 8 bits with one range, before and after."""
        signal = float(np.sum(self._squares)) / max(self.count, 1)
        return _rounded(signal, np.max(self._most)), _rounded(signal, np.max(self._most - self.absorbed()))


def _rounded(signal: float, most: float) -> float:
    return decibels(signal, float(most / 255) ** 2 / 12)

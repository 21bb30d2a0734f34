"""Cross-layer equalization: channels of neighbouring layers scaled so that their weights have equal ranges.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction (2019),
section 4.1. Behind a layer W1, b1 and a function f with f(a x) = a f(x) for a > 0, such as ReLU, stands W2. With
r1 and r2 the largest magnitudes of channel i in W1 and W2 and s = sqrt(r1 / r2), W1 / s, b1 / s and W2 s give the same
outputs, and both have the range sqrt(r1 r2).
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import Array, finite

__all__ = ["equalize"]

ACTIVATION_ALPHA = 0.75     # at 1 no channel has room for values that no sample has shown
MIN_SHARE = 1e-3        # of the largest: channels below are taken as that large


def equalize(first: ArrayLike, second: ArrayLike,
             bias: ArrayLike | None = None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """The weights and the bias of two layers in a row, with equal ranges of the channels between them.

    Computed in float64 and rounded once. A channel that is all 0 in either weight stays as it is.

    Args:
        first: the weight of the first layer, (channels, ...).
        second: the weight of the layer that reads it, (out, channels, ...); of a depthwise convolution, whose weight is
            (channels, 1, ...), pass its axes 0 and 1 swapped.
        bias: of the first layer, (channels,).

    Returns:
        The three arrays, each of its type; None for no bias.

    Raises:
        TypeError: an array that holds no floats.
        ValueError: NaN or infinity, or shapes that do not fit.
    """
    a, b = finite(first, "first"), finite(second, "second")
    if a.ndim < 1 or b.ndim < 2 or b.shape[1] != len(a):
        raise ValueError(f"Expected `second` of shape (out, channels, ...) and `first` of shape (channels, ...), got "
                         f"{b.shape} and {a.shape}")
    c = None if bias is None else finite(bias, "bias")
    if c is not None and c.shape != (len(a),):
        raise ValueError(f"Expected `bias` of shape {(len(a),)}, got {c.shape}")
    factor = equalizing_factor(_ranges(a, 0), _ranges(b, 1))
    return (_times(a, factor, 0), _times(b, 1 / factor, 1), None if c is None else _times(c, factor, 0))


def equalizing_factor(first: Array, second: Array) -> Array:
    """1 / s: what the first layer's channels are multiplied by, and the second one's divided by; 1 for zeros."""
    used = (first > 0) & (second > 0)
    found = np.ones(len(first))
    np.divide(second, first, where=used, out=found)
    return np.sqrt(found)


def activation_factor(largest: Array, alpha: float) -> Array:
    """What each channel is multiplied by, by its largest magnitude, so that all use one range more alike."""
    return np.asarray(np.maximum(largest / largest.max(), MIN_SHARE) ** -alpha)


def _ranges(array: NDArray[Any], axis: int) -> Array:
    rest = tuple(at for at in range(array.ndim) if at != axis)
    return np.asarray(np.abs(array).max(axis=rest, initial=0), np.float64)


def _times(array: NDArray[Any], factor: Array, axis: int) -> NDArray[Any]:
    wide = factor.reshape([-1 if at == axis else 1 for at in range(array.ndim)])
    return np.asarray(array.astype(np.float64) * wide, array.dtype)

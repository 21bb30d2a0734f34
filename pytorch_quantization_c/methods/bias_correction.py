"""Bias correction: the mean error of each output channel is subtracted from the bias.

Empirical, as in section 4.2 of Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight
Equalization and Bias Correction (2019).
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import number_array
from .._core.noise import decibels

__all__ = ["MeanError", "corrected_bias"]


class MeanError:
    """The mean over all data, by channel, of what a float layer gives less what the quantised one gives.

    Args:
        axis: the axis of channels.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.count = 0
        self._sum: NDArray[np.float64] | None = None
        self._samples, self._squares = 0, 0.0       # of the means of single samples
        self._signal = self._noise = 0.0

    def add(self, expected: ArrayLike, got: ArrayLike) -> None:
        """Counts the outputs of both layers for the same inputs. ValueError if their shapes differ."""
        wanted, given = np.asarray(expected), np.asarray(got)
        if wanted.shape != given.shape:
            raise ValueError(f"Expected `got` of shape {wanted.shape}, got {given.shape}")
        rest = tuple(at for at in range(wanted.ndim) if at != self.axis % wanted.ndim)
        off = np.subtract(wanted, given, dtype=np.float64)
        error = off.sum(axis=rest)
        self._sum = error if self._sum is None else self._sum + error
        if wanted.ndim > 1 and self.axis % wanted.ndim and off.size:
            means = np.moveaxis(off, self.axis, 1).reshape(len(off), len(error), -1).mean(axis=2)
            self._samples += len(off)
            self._squares = self._squares + np.square(means).sum(axis=0)
        self._signal += float(np.square(wanted, dtype=np.float64).sum())
        self._noise += float(np.square(off).sum())
        self.count += wanted.size // max(len(error), 1)

    def mean(self) -> NDArray[np.float64]:
        """The mean error of each channel. ValueError before anything was counted."""
        if self._sum is None or not self.count:
            raise ValueError("Expected outputs to have been added, got none")
        return self._sum / self.count

    def sure_mean(self) -> NDArray[np.float64]:
        """The mean error of each channel, less of it the less the samples agree, as the indices of axis 0 are taken.

        What n samples have in common is known to within the variance v / n of their mean m: with the share
        max(0, 1 - v / (n m^2)) of m the squared error that is expected on other samples is least. With one sample all
        of it; ValueError as `mean`.
        """
        mean = self.mean()
        if self._samples < 2:
            return mean
        variance = np.maximum(self._squares / self._samples - np.square(mean), 0) / (self._samples - 1)
        share = 1 - np.divide(variance, np.square(mean), where=mean != 0, out=np.ones_like(mean))
        return np.asarray(mean * np.maximum(share, 0))

    def decibels(self) -> tuple[float, float]:
        """Signal to noise ratio of what was counted, as it is and without the mean errors. As `mean` before that."""
        rest = self._noise - self.count * float(np.square(self.mean()).sum())
        return decibels(self._signal, self._noise), decibels(self._signal, rest)


def corrected_bias(bias: ArrayLike | None, error: Any) -> NDArray[np.float32]:
    """The bias with the mean error of each channel added, in float32.

    Args:
        bias: one number a channel, or None for no bias.
        error: what `MeanError.mean` gives.

    Raises:
        TypeError: an argument that holds no numbers.
        ValueError: another number of channels.
    """
    added = number_array(error, "error").astype(np.float64)
    if bias is None:
        return added.astype(np.float32)
    before = number_array(bias, "bias")
    if before.shape != added.shape:
        raise ValueError(f"Expected `bias` of shape {added.shape}, as `error`, got {before.shape}")
    return np.asarray(before.astype(np.float64) + added, np.float32)

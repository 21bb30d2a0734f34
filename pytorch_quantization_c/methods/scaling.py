"""Outlier channels of a linear layer's inputs, moved into its weight: SmoothQuant and AWQ.

With one factor s for each input channel, W x = (W s) (x / s): the layer's result stays, and what is rounded changes.
"""
from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core.errors import shown
from .grid import (
    Array,
    Grid,
    checked_bits,
    checked_group,
    checked_inputs,
    checked_number,
    checked_weight,
    nearest,
    second_moment,
)

__all__ = ["awq", "smoothquant"]

MIN_SHARE = 1e-5        # of the largest: no channel counts as less


def smoothquant(weight: ArrayLike, inputs: ArrayLike, *,
                alpha: float = 0.5) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Moves input outliers of a linear layer into its weight, for 8 bits on both sides (SmoothQuant).

    Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
    Language Models (2022), equation 4: s_j = max|x_j|^alpha / max|w_j|^(1 - alpha) for input channel j. Channels whose
    inputs or weights are all 0 keep s = 1.

    Args:
        weight: (out, in).
        inputs: (rows, in), the layer's inputs.
        alpha: how much of the outliers moves into the weight, from 0 to 1.

    Returns:
        The weight times s, (out, in), of its type, and 1 / s, (in,), float32, which the inputs are multiplied by before
        they are quantised (the `pre_quant_scale` of a quantiser).

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, shapes that do not fit, `alpha` out of range.
    """
    matrix = checked_weight(weight)
    x = checked_inputs(inputs, matrix.shape[1])
    share = checked_number(alpha, "alpha", 0, 1)
    return scaled(matrix, smoothing(np.abs(x).max(axis=0).astype(np.float64), matrix, share))


def awq(weight: ArrayLike, inputs: ArrayLike, *, num_bits: int = 4, group_size: int | None = None,
        steps: int = 20) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Scales a linear layer so that weights of large inputs are rounded more finely, for low-bit weights (AWQ).

    Lin, Tang, Tang, Yang, Dang, Han: AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration
    (2023), equations 4 and 5: s_j = (mean |x_j|)^a over the geometric mean of the largest and the least of them, where
    a out of 0, 1 / steps, ... has the least squared error of the layer's outputs with W s rounded to nearest. Means
    below 1e-5 of the largest count as that. The paper's second step, ranges that clip the scaled weight, is
    `weight_range(scaled, inputs * factors, num_bits=..., group_size=...)`; of a model or graph "awq" does both.

    Costs out * in^2 multiplications for each step, and a float64 matrix of in x in.

    Args:
        weight: (out, in).
        inputs: (rows, in), the layer's inputs.
        num_bits: 2 to 8, of symmetric integers without the lowest one.
        group_size: columns that share a range, a divisor of in; None: one range a row.
        steps: values of a that are tried.

    Returns:
        The weight times s, (out, in), of its type, not yet rounded, and 1 / s, (in,), float32, a `pre_quant_scale`.

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, shapes that do not fit, a `group_size` that does not divide in, numbers out of
            range.
    """
    matrix = checked_weight(weight)
    x = checked_inputs(inputs, matrix.shape[1])
    bits, size = checked_bits(num_bits), checked_group(group_size, matrix.shape[1])
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise TypeError(f"Expected `steps` to be an integer, got {shown(steps)}")
    count = operator.index(steps)
    if not 1 <= count <= 1000:
        raise ValueError(f"Expected `steps` from 1 to 1000, got {shown(count)}")
    mean = np.abs(x.astype(np.float64)).mean(axis=0)
    return scaled(matrix, awq_factors(mean, second_moment(x), matrix, bits, size, count))


def smoothing(largest: Array, weight: NDArray[Any], alpha: float) -> Array:
    """SmoothQuant's s for each input channel, by the largest magnitudes of the inputs."""
    most = np.abs(weight).max(axis=0, initial=0).astype(np.float64)
    used = (largest > 0) & (most > 0)
    a, b = np.where(used, largest, 1), np.where(used, most, 1)
    return np.asarray(a ** alpha / b ** (1 - alpha))


def awq_factors(mean: Array, moment: Array, weight: NDArray[Any], bits: int, group_size: int, steps: int) -> Array:
    """AWQ's s for each input channel, by the mean magnitudes of the inputs and the sum of x x^T."""
    best, least = np.ones(len(mean)), np.inf
    if not mean.size or mean.max() <= 0:
        return best
    floats, size = weight.astype(np.float64), np.maximum(mean / mean.max(), MIN_SHARE)
    for number in range(steps):
        factor = size ** (number / steps)
        factor = factor / np.sqrt(factor.max() * factor.min())
        wide = (floats * factor).astype(weight.dtype)
        grid = Grid(wide, bits, group_size, None)
        codes = nearest(wide.astype(np.float64), grid.columns(), grid.bound)
        off = grid.values(codes, np.float64) / factor - floats
        error = float(np.einsum("oi,oi->", off @ moment, off))
        if error < least:
            best, least = factor, error
    return best


def scaled(weight: NDArray[Any], factor: Array) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """The weight times the factor of each input channel, and the factors for the inputs.

    The factor is what float32 makes of 1 / s, so that the two undo each other but for one rounding each.
    """
    inverse = (1 / factor).astype(np.float32)
    return np.asarray(weight.astype(np.float64) / inverse.astype(np.float64), weight.dtype), inverse

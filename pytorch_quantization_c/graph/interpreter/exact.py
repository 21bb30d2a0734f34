"""Exact integer sums with zero points, in floats that are wide enough to hold them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .table import Array

__all__ = ["fma", "layer_scale", "rounded_sums"]

EXACT_F32 = 2 ** 24  # integers below it are float32 numbers, and so is every partial sum of them
BELOW_F32, MIDDLE = 2 ** 29 - 1, 2 ** 28  # bits of a float64 beyond those of a float32; halfway between two of these
SMALLEST_F32 = 2.0 ** -126  # below it a float32 has fewer bits


def rounded_sums(product: Callable[[Array, Array], Array], x: Array, weight: Array, largest: float) -> Array:
    """The exact sums of products of two arrays of integers, each rounded once to float32.

    Args:
        product: the layer without bias, on arrays of one floating type.
        x, weight: integers in float32.
        largest: no sum of magnitudes of products is larger; beyond 2^53 the sums would not be exact.
    """
    if largest < EXACT_F32:
        return product(x, weight) + np.float32(0)  # -0 is no integer
    return product(x.astype(np.float64), weight.astype(np.float64)).astype(np.float32) + np.float32(0)


def layer_scale(x_scale: Any, weight_scale: Array) -> Array:
    """The float32 nearest to 1 / (scale of input * scale of weight), as the library's layers compute it."""
    with np.errstate(divide="ignore", over="ignore"):
        product: Array = (1.0 / np.float64(x_scale)) * (1.0 / weight_scale.astype(np.float64))
        return product.astype(np.float32)


def fma(sums: Array, scale: Array, bias: Array | None) -> Array:
    """sums * scale + bias in float32 with one rounding; all broadcast.

    The product is exact in float64 and its sum with the bias rounded there, so that rounding once more to float32 goes
    wrong only where that sum lies in the middle between two floats. There it is moved to the side of what its rounding
    left out, as rounding to odd does (Boldo and Melquiond 2008).
    """
    if bias is None:
        return np.asarray(sums * scale, np.float32)
    product = sums.astype(np.float64, order="C") * scale.astype(np.float64)
    total = np.ascontiguousarray(product + bias.astype(np.float64))
    low = total.view(np.int64) & BELOW_F32
    in_doubt = np.flatnonzero((low == MIDDLE) | (np.abs(total) < SMALLEST_F32))
    if in_doubt.size:
        other = np.broadcast_to(bias, product.shape).reshape(-1)[in_doubt].astype(np.float64)
        total.reshape(-1)[in_doubt] = _to_odd(product.reshape(-1)[in_doubt], other)
    return total.astype(np.float32)


def _to_odd(a: Array, b: Array) -> Array:
    """a + b in float64, rounded to odd."""
    total: Array = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)  # two-sum: total + error is exact
    bits = total.view(np.int64)
    bits += np.where((error != 0) & (bits & 1 == 0), np.where((error < 0) != (total < 0), -1, 1), 0)
    return total

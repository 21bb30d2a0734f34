"""Transposed convolutions whose results are blocks of pixels, each made of the same inputs by weights of its own.

With stride s and a kernel of c * s taps, output q * s + p gets input q - j by tap p + j * s, for j < c: an ordinary
convolution of c taps gives all pixels p of block q as its channels.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..checks import Array

__all__ = ["blockwise_weight", "is_blockwise", "pixels_of_blocks"]


def is_blockwise(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int,
                 missing: Sequence[int]) -> bool:
    """Whether all blocks have all taps; `missing`: pixels that the result has behind the last block."""
    return (groups == 1 and set(dilation) == {1} and max(missing) <= 0
            and all(k % s == 0 for k, s in zip(kernel, stride, strict=True)))


def blockwise_weight(weight: Array, stride: Sequence[int]) -> Array:
    """(inputs, outputs, kernel) as (pixels of a block x outputs, inputs, taps of the ordinary convolution)."""
    count = len(stride)
    counts = [k // s for k, s in zip(weight.shape[2:], stride, strict=True)]
    parts = weight.reshape(*weight.shape[:2], *(n for pair in zip(counts, stride, strict=True) for n in pair))
    parts = np.flip(parts, tuple(range(2, 2 + 2 * count, 2)))
    rows = parts.transpose(*range(3, 3 + 2 * count, 2), 1, 0, *range(2, 2 + 2 * count, 2))
    return np.ascontiguousarray(rows).reshape(-1, weight.shape[0], *counts)


def pixels_of_blocks(blocks: Array, stride: Sequence[int]) -> Array:
    """(N, pixels of a block x outputs, blocks along each axis) as (N, outputs, pixels along each axis)."""
    count, sizes, outputs = len(stride), blocks.shape[2:], blocks.shape[1] // math.prod(stride)
    parts = blocks.reshape(len(blocks), *stride, outputs, *sizes)
    order = [axis for i in range(count) for axis in (2 + count + i, 1 + i)]
    return parts.transpose(0, 1 + count, *order).reshape(
        len(blocks), outputs, *(n * s for n, s in zip(sizes, stride, strict=True)))

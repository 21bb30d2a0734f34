"""Windows that slide over an array: sizes, and the columns a convolution multiplies."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import Array

__all__ = ["Window", "col2im", "im2col"]


class Window:
    """Kernel size, stride, padding and dilation of a window over `spatial` dimensions of sizes `size`."""

    def __init__(self, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
                 dilation: Sequence[int]) -> None:
        self.size, self.kernel, self.stride = tuple(size), tuple(kernel), tuple(stride)
        self.padding, self.dilation = tuple(padding), tuple(dilation)
        self.reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        self.out = tuple((n + 2 * p - r) // s + 1 for n, p, r, s in
                         zip(size, padding, self.reach, stride, strict=True))

    @property
    def trivial(self) -> bool:
        """True if the columns are the array itself: kernel 1, stride 1, no padding."""
        return set(self.kernel + self.stride) <= {1} and not any(self.padding)


def _offsets(window: Window) -> list[tuple[int, ...]]:
    return list(np.ndindex(*window.kernel))


def _slices(window: Window, offset: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(slice(o * d, o * d + (n - 1) * s + 1, s) for o, d, n, s in
                 zip(offset, window.dilation, window.out, window.stride, strict=True))


def im2col(x: Array, window: Window) -> Array:
    """(planes, *size) to (planes, kernel elements, positions): what each kernel element meets at each position."""
    padded = np.pad(x, [(0, 0), *((p, p) for p in window.padding)]) if any(window.padding) else x
    columns = np.empty((len(x), math.prod(window.kernel), *window.out), x.dtype)
    for number, offset in enumerate(_offsets(window)):
        columns[:, number] = padded[(slice(None), *_slices(window, offset))]
    return columns.reshape(len(x), math.prod(window.kernel), -1)


def col2im(columns: Array, window: Window) -> Array:
    """The adjoint of `im2col`: adds each column element to the place it was read from; (planes, *size)."""
    planes = len(columns)
    blocks = columns.reshape(planes, math.prod(window.kernel), *window.out)
    total = np.zeros((planes, *(n + 2 * p for n, p in zip(window.size, window.padding, strict=True))), columns.dtype)
    for number, offset in enumerate(_offsets(window)):
        total[(slice(None), *_slices(window, offset))] += blocks[:, number]
    inner = tuple(slice(p, p + n) for n, p in zip(window.size, window.padding, strict=True))
    return total[(slice(None), *inner)]

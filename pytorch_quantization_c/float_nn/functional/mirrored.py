"""Convolutions along one axis by kernels that are their own mirror images: Fourier transforms, for example."""
from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..checks import Array

__all__ = ["folded", "folded_weight", "is_mirrored"]

SMALLEST = 32  # kernel, and outputs


def is_mirrored(weight: Array, groups: int) -> bool:
    """Whether (outputs, 1, K) is even about K / 2 for the first half of the outputs, and odd for the other.

    Then the halves of a window can be added and subtracted first, and half the products are left.
    """
    outputs, channels, kernel = weight.shape
    if groups != 1 or channels != 1 or kernel % 2 or outputs % 2 or min(kernel, outputs) < SMALLEST:
        return False
    even, odd = weight[:outputs // 2, 0], weight[outputs // 2:, 0]
    half = kernel // 2
    return bool((even[:, 1:half] == even[:, :half:-1]).all() and (odd[:, 1:half] == -odd[:, :half:-1]).all()
                and not odd[:, 0].any() and not odd[:, half].any() and np.isfinite(weight).all())


def folded_weight(weight: Array) -> Array:
    """(outputs, K / 2 + 1, 1): what is left of such a weight, for two groups."""
    return weight[:, 0, :weight.shape[2] // 2 + 1, None]


def folded(x: Array, kernel: int, stride: int, padding: int) -> Array:
    """(N, 1, L) to (N, K + 2, positions): each window's halves added, and subtracted, which two groups multiply."""
    x, half = np.pad(x[:, 0], ((0, 0), (padding, padding))), kernel // 2
    windows = sliding_window_view(x, kernel, axis=1)[:, ::stride].swapaxes(1, 2)
    made = np.empty((len(x), 2, half + 1, windows.shape[2]), x.dtype)
    made[:, :, 0] = windows[:, None, 0]
    np.add(windows[:, 1:half], windows[:, :half:-1], out=made[:, 0, 1:half])
    np.subtract(windows[:, 1:half], windows[:, :half:-1], out=made[:, 1, 1:half])
    made[:, :, half] = windows[:, None, half]
    return made.reshape(len(x), kernel + 2, -1)

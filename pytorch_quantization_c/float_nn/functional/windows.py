"""Windows that slide over an array: sizes, and the columns a convolution multiplies."""
from __future__ import annotations

from collections.abc import Sequence

from ... import _C
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
        """True if the columns are the array itself: kernel 1, stride 1, no padding, nothing added at the end."""
        return set(self.kernel + self.stride) <= {1} and not any(self.padding) and self.out == self.size


def _three(numbers: Sequence[int], fill: int = 1) -> tuple[int, int, int]:
    """The numbers of up to three dimensions as those of three, which is what the C code knows."""
    a, b, c = (fill,) * (3 - len(numbers)) + tuple(numbers)
    return a, b, c


def im2col(x: Array, window: Window) -> Array:
    """(N, C, *size) to (C * kernel elements, N * positions): what each kernel element meets at each position."""
    return _C.im2col(x.reshape(*x.shape[:2], *_three(window.size)), _three(window.kernel), _three(window.stride),
                     _three(window.padding, 0), _three(window.dilation), _three(window.out))


def col2im(columns: Array, window: Window) -> Array:
    """The adjoint of `im2col`: adds each column element to the place it was read from; (planes, *size)."""
    blocks = columns.reshape(len(columns), columns.shape[1], *_three(window.out))
    y = _C.col2im(blocks, _three(window.size), _three(window.kernel), _three(window.stride),
                  _three(window.padding, 0), _three(window.dilation))
    return y.reshape(len(columns), *window.size)

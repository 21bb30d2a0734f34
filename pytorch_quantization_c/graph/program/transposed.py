"""Transposed convolutions as ordinary ones, whose outputs are the pixels of blocks of the result, or a part of them.

With stride s along an axis, output q * s + p gets input i by tap p + (q - i) * s. So every block q has the same inputs,
as many as the kernel has strides, and each of its pixels p has weights of its own: 0 where there is no such tap.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..interpreter.table import NodeLike, attribute
from .operations import Window

__all__ = ["Spread", "Transposed", "transposed_of"]

MAX_STRIDE = 64


class Spread(NamedTuple):
    """Channels become the pixels of y x x blocks, then rows and columns at the borders are cut off."""

    y: int
    x: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def cuts(self) -> bool:
        """Whether anything is cut off."""
        return any(self[2:])


class _Axis(NamedTuple):
    """One axis: the ordinary window, the stride, what is cut off before and behind, the tap of each input and pixel."""

    window: Window
    stride: int
    before: int
    after: int
    taps: NDArray[np.int64]  # (inputs of the window, pixels of the block); -1: none

    @classmethod
    def of(cls, kernel: int, stride: int, dilation: int, pads: tuple[int, int], more: int) -> _Axis:
        """An axis of a transposed convolution; `more`: pixels that its output has behind the last one."""
        reach = (kernel - 1) * dilation + 1
        count = -(-reach // stride)
        skipped = min(pads[0] // stride, count - 1)  # blocks before the first pixel
        end = reach - pads[1] + more  # pixels from the last input's first
        blocks = max(-(-end // stride), 1)
        places = np.arange(stride) + stride * np.arange(count)[::-1, None]
        taps = np.where((places < reach) & (places % dilation == 0), places // dilation, -1)
        return cls(Window(count, before=count - 1 - skipped, after=blocks - 1), stride, pads[0] - skipped * stride,
                   blocks * stride - end, taps)


class Transposed(NamedTuple):
    """A transposed convolution of two axes."""

    y: _Axis
    x: _Axis

    @property
    def spread(self) -> Spread:
        """What becomes of the ordinary convolution's channels."""
        return Spread(self.y.stride, self.x.stride, self.y.before, self.y.after, self.x.before, self.x.after)

    def weight(self, array: NDArray[Any]) -> NDArray[Any]:
        """(inputs, outputs, height, width) as (pixels of a block x outputs, inputs, window)."""
        padded = np.concatenate([array, np.zeros_like(array[:, :, :1])], axis=2)
        padded = np.concatenate([padded, np.zeros_like(padded[..., :1])], axis=3)
        # Inputs, outputs, window and pixel along y and along x:
        made = padded[:, :, self.y.taps[:, :, None, None], self.x.taps[None, None]]
        inputs, outputs, height, y, width, x = made.shape
        return np.ascontiguousarray(made.transpose(3, 5, 1, 0, 2, 4)).reshape(y * x * outputs, inputs, height, width)


def transposed_of(node: NodeLike, kernel: tuple[int, ...]) -> Transposed | None:
    """A ConvTranspose along one or two axes; None if its output is not found from its input's size alone."""
    if attribute(node, "group", 1) != 1 or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", ""):
        return None
    if attribute(node, "output_shape") is not None or len(kernel) not in (1, 2):
        return None
    count = len(kernel)
    strides, dilations, more = (tuple(attribute(node, name, (default,) * count)) for name, default in
                                (("strides", 1), ("dilations", 1), ("output_padding", 0)))
    pads = tuple(attribute(node, "pads", (0,) * 2 * count))
    if [len(strides), len(dilations), len(more), len(pads)] != [count, count, count, 2 * count]:
        return None
    if min(*strides, *dilations) < 1 or max(strides) > MAX_STRIDE or min(*pads, *more) < 0:
        return None
    axes = [_Axis.of(*numbers, (pads[axis], pads[axis + count]), more[axis]) for axis, numbers in
            enumerate(zip(kernel, strides, dilations, strict=True))]
    return Transposed(*[_Axis.of(1, 1, 1, (0, 0), 0), *axes][-2:])

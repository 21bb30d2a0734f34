"""Transposed convolutions as ordinary ones, whose outputs are the pixels of blocks of the result, or a part of them.

With stride s along an axis, output q * s + p gets input i by tap p + (q - i) * s. So every block q has the same inputs,
as many as the kernel has strides, and each of its pixels p has weights of its own: 0 where there is no such tap.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...float_nn.functional.blockwise import is_blockwise
from ..interpreter.table import NodeLike, attribute
from ..interpreter.windows import AUTO_PADS
from .operations import Window

__all__ = ["Spread", "Transposed", "transposed_of"]

MAX_STRIDE = 64
MAX_UNGROUPED = 2 ** 18  # elements of a weight


class Spread(NamedTuple):
    """Channels become the pixels of blocks of z x y x x, then frames, rows and columns at the borders are cut off."""

    y: int
    x: int
    top: int
    bottom: int
    left: int
    right: int
    z: int = 1
    front: int = 0
    back: int = 0

    @property
    def cuts(self) -> bool:
        """Whether rows or columns are cut off."""
        return any(self[2:6])


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
    """A transposed convolution of two axes, or of three; one without frames has an axis of one."""

    z: _Axis
    y: _Axis
    x: _Axis
    frames: bool
    groups: int
    is_blockwise: bool  # as float_nn computes it by blocks

    @property
    def spread(self) -> Spread:
        """What becomes of the ordinary convolution's channels."""
        return Spread(self.y.stride, self.x.stride, self.y.before, self.y.after, self.x.before, self.x.after,
                      self.z.stride, self.z.before, self.z.after)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Those of the ordinary convolution."""
        return (self.z.window, self.y.window, self.x.window)[0 if self.frames else 1:]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a weight in groups is small enough to be one without: 0 from the inputs of other groups."""
        inputs, outputs, *kernel = shape
        return self.groups == 1 or inputs * outputs * self.groups * math.prod(kernel) <= MAX_UNGROUPED

    def weight(self, array: NDArray[Any]) -> NDArray[Any]:
        """(inputs, outputs of a group, [depth,] height, width) as (pixels of a block x outputs, inputs, window)."""
        array = array if self.frames else array[:, :, None]
        if self.groups > 1:
            inputs, outputs, *kernel = array.shape
            made = np.zeros((self.groups, inputs // self.groups, self.groups, outputs, *kernel), array.dtype)
            each = np.arange(self.groups)
            made[each, :, each] = array.reshape(self.groups, -1, outputs, *kernel)
            array = made.reshape(inputs, self.groups * outputs, *kernel)
        for axis in (2, 3, 4):
            array = np.concatenate([array, np.zeros_like(array.take([0], axis))], axis)
        # Inputs, outputs, window and pixel along z, along y and along x:
        made = array[:, :, self.z.taps[:, :, None, None, None, None], self.y.taps[:, :, None, None], self.x.taps]
        inputs, outputs, depth, z, height, y, width, x = made.shape
        rows = np.ascontiguousarray(made.transpose(3, 5, 7, 1, 0, 2, 4, 6))
        return rows.reshape(z * y * x * outputs, inputs, *(depth, height, width)[0 if self.frames else 1:])


def transposed_of(node: NodeLike, kernel: tuple[int, ...]) -> Transposed | None:
    """A ConvTranspose along one to three axes; None if its output is not found from its input's size alone."""
    count, groups, auto = len(kernel), attribute(node, "group", 1), attribute(node, "auto_pad", "NOTSET")
    if attribute(node, "output_shape") is not None or count not in (1, 2, 3) or groups < 1 or auto not in AUTO_PADS:
        return None
    strides, dilations, more = (tuple(attribute(node, name, (default,) * count)) for name, default in
                                (("strides", 1), ("dilations", 1), ("output_padding", 0)))
    pads = tuple(attribute(node, "pads", (0,) * 2 * count))
    if [len(strides), len(dilations), len(more), len(pads)] != [count, count, count, 2 * count]:
        return None
    if auto not in ("NOTSET", ""):
        total = [0 if auto == "VALID" else (k - 1) * d + 1 + e - s
                 for k, s, d, e in zip(kernel, strides, dilations, more, strict=True)]
        less, more_of = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = (*less, *more_of) if auto == "SAME_UPPER" else (*more_of, *less)
    if min(*strides, *dilations) < 1 or max(strides) > MAX_STRIDE or min(*pads, *more) < 0:
        return None
    axes = [_Axis.of(*numbers, (pads[axis], pads[axis + count]), more[axis]) for axis, numbers in
            enumerate(zip(kernel, strides, dilations, strict=True))]
    one = _Axis.of(1, 1, 1, (0, 0), 0)
    z, y, x = [one, one, *axes][-3:]
    missing = [e - a for e, a in zip(more, pads[:count], strict=True)] if pads[:count] == pads[count:] else more
    return Transposed(z, y, x, count == 3, groups, is_blockwise(kernel, strides, dilations, groups, missing))

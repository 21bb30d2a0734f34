"""Space-to-depth and the convolution behind it, merged into one convolution of the image.

Slices take every second row and column of an image, a Concat makes channels of the four of a block, and a convolution
multiplies them (YOLO's "Focus"): one with a kernel and a stride twice as large multiplies the same numbers.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .operations import Concat, Conv, Cut, Key, Operation, Sliced, Window

__all__ = ["pixels_of_blocks"]

MAX_SIDE = 8  # of a block
MAX_PRODUCTS = 65536  # PQC_MAX_PRODUCTS

Place = tuple[int, int]


def pixels_of_blocks(operations: Sequence[Operation]) -> list[Operation]:
    """The same operations, with a convolution of blocks and what makes the blocks replaced by one of pixels."""
    makers = {key: each for each in operations for key in each.writes()}
    readers = Counter(key for each in operations for key in each.reads())
    for conv in operations:
        if isinstance(conv, Conv) and readers[conv.input] == 1:
            _read_pixels(conv, makers, readers)
    left = {id(each) for each in operations}
    for each in reversed(operations):  # what nothing reads any more
        if isinstance(each, Concat | Sliced) and not any(readers[key] for key in each.writes()):
            left.discard(id(each))
            readers.subtract(each.reads())
    return [each for each in operations if id(each) in left]


def _read_pixels(conv: Conv, makers: dict[Key, Operation], readers: Counter[Key]) -> None:
    joined = makers.get(conv.input)
    if not isinstance(joined, Concat) or not _is_plain(conv):
        return
    side = round(len(joined.inputs) ** 0.5)
    parts = [_place_of(key, makers, side) for key in joined.inputs]
    sources = {source for source, _ in parts}
    places = [place for _, place in parts]
    if not 1 < side <= MAX_SIDE or len(sources) != 1 or None in sources or set(places) != {
            (y, x) for y in range(side) for x in range(side)} or len(places) != side * side:
        return
    source = sources.pop()
    if conv.weight.shape[3] % len(places) or conv.weight[0].size > MAX_PRODUCTS or source is None:
        return
    readers[conv.input] -= 1
    readers[source] += 1
    conv.input, conv.multiple = source, side
    conv.weight = _spread(conv.weight, places, side)
    conv.y, conv.x = _wider(conv.y, side), _wider(conv.x, side)


def _is_plain(conv: Conv) -> bool:
    windows = conv.y, conv.x
    return (conv.groups == 1 and conv.multiple == 1 and conv.input not in (conv.residual, *conv.operands)
            and all(each.dilation == 1 and not each.auto for each in windows))


def _place_of(key: Key, makers: dict[Key, Operation], side: int) -> tuple[Key | None, Place]:
    """The image of which a slice takes one pixel of each block, and its place in the block; else (None, (0, 0))."""
    y, x = Cut(), Cut()
    while isinstance(cut := makers.get(key), Sliced):
        if cut.c != Cut():
            break
        if (found := (_joined(cut.y, y), _joined(cut.x, x))) is None or None in found:
            break
        y, x = (each for each in found if each is not None)
        key = cut.input
    is_block = (y.step, x.step) == (side, side) and max(y.start, x.start) < side
    return (key, (y.start, x.start)) if is_block else (None, (0, 0))


def _joined(first: Cut, then: Cut) -> Cut | None:
    """Two slices composed; None if one of them ends before its axis does."""
    if min(first.stop, then.stop) < Cut().stop:
        return None
    return Cut(first.start + then.start * first.step, step=first.step * then.step)


def _spread(weight: NDArray[np.int8], places: Sequence[Place], side: int) -> NDArray[np.int8]:
    """The weight (outputs, height, width, channels of a block) spread over the pixels of the blocks."""
    outputs, height, width, channels = weight.shape
    blocks = weight.reshape(outputs, height, width, len(places), channels // len(places))
    made = np.empty((outputs, height, side, width, side, blocks.shape[4]), np.int8)
    for number, (y, x) in enumerate(places):
        made[:, :, y, :, x] = blocks[:, :, :, number]
    return made.reshape(outputs, height * side, width * side, -1)


def _wider(window: Window, side: int) -> Window:
    return Window(window.kernel * side, window.stride * side, 1, window.before * side, window.after * side)

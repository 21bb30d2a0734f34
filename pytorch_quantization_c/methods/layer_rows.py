"""A layer of weights as a product of matrices: the weight's rows, and the rows of inputs that meet them."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .grid import Array

__all__ = ["SAMPLE_ROWS", "InputMoments", "PairedMoments", "Windows", "parts_in_memory"]

SAMPLE_ROWS = 256   # of one sample's inputs of a layer that count
AT_ONCE = 1 << 26   # numbers in the second moments that are kept at a time: half a gigabyte
CHUNK = 1 << 23     # elements of rows that are widened to float64 at a time
Layer = TypeVar("Layer")


def parts_in_memory(layers: Iterable[Layer], numbers: Callable[[Layer], int]) -> list[list[Layer]]:
    """The layers in order, in parts whose second moments fit into memory at once; `numbers`: in those of a layer."""
    parts: list[list[Layer]] = []
    room = 0
    for each in layers:
        needed = numbers(each)
        if not parts or needed > room:
            parts.append([])
            room = AT_ONCE
        parts[-1].append(each)
        room -= needed
    return parts


@dataclass(frozen=True)
class Windows:
    """How a convolution reads its input; one number for each spatial axis.

    Attributes:
        kernel, stride, dilation: sizes in elements.
        before, after: how many zeros are put around the input; of another padding the input comes padded.
        groups: of channels.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def rows(self, x: NDArray[Any], chosen: NDArray[np.int64] | None) -> NDArray[Any]:
        """What the kernel meets at each position of x (batch, channels, *sizes): (groups, positions, columns).

        Args:
            chosen: numbers of positions, all samples counted through; None: all of them.
        """
        spatial = len(self.kernel)
        pads = [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)]
        padded = np.pad(x, pads) if any(map(any, pads)) else x
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        view = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + spatial)))
        steps = (slice(None), slice(None), *(slice(None, None, s) for s in self.stride),
                 *(slice(None, None, d) for d in self.dilation))
        view = np.moveaxis(view[steps], 1, 1 + spatial)     # (batch, *positions, channels, *kernel)
        places = view.shape[:1 + spatial]
        taken = view.reshape(math.prod(places), *view.shape[1 + spatial:]) if chosen is None else \
            view[np.unravel_index(chosen, places)]
        split = taken.reshape(len(taken), self.groups, -1)
        return np.ascontiguousarray(split.transpose(1, 0, 2))

    def positions(self, shape: Sequence[int]) -> int:
        """How many positions an input of this shape has, over all samples."""
        count = int(shape[0])
        for n, k, s, a, b, d in zip(shape[2:], self.kernel, self.stride, self.before, self.after, self.dilation,
                                    strict=True):
            count *= (int(n) + a + b - (k - 1) * d - 1) // s + 1
        return count


class InputMoments:
    """The mean over rows of x x^T of a layer's inputs, accumulated from arrays.

    Args:
        columns: length of a row.
        groups: of a convolution's channels.
        limit: rows of a sample (an index of axis 0) that count on average, drawn at random where it has more.
        seed: of the drawing.

    Attributes:
        count: rows that were counted.
        least, most, largest: the ends of each column of a linear layer's inputs, 0 between them, and the largest
            magnitude, all rows counted.
    """

    def __init__(self, columns: int, groups: int, limit: int, seed: int) -> None:
        self.limit, self.count = limit, 0
        self._rng = np.random.default_rng(seed)
        self._sum = np.zeros((groups, columns, columns))
        self._magnitudes = np.zeros(columns)
        self._rows = 0
        self.least, self.most = np.zeros((2, columns))

    def add(self, x: NDArray[Any], windows: Windows | None = None) -> None:
        """Adds an array of the layer's inputs; `windows` of a convolution. ValueError for NaN or infinity."""
        chosen = _chosen(x, windows, self.limit, self._rng)
        if windows is None:
            flat = x.reshape(-1, x.shape[-1])
            magnitudes = np.abs(flat.astype(np.float64))
            self.least = np.minimum(self.least, flat.min(axis=0, initial=0))
            self.most = np.maximum(self.most, flat.max(axis=0, initial=0))
            self._magnitudes += magnitudes.sum(axis=0)
            self._rows += len(flat)
        rows = _rows(x, windows, chosen)
        for part, _ in _parts(rows, rows):
            self._sum += part.transpose(0, 2, 1) @ part
        self.count += rows.shape[1]

    @property
    def largest(self) -> Array:
        """See the class."""
        return np.maximum(self.most, -self.least)

    def mean(self) -> Array:
        """(groups, columns, columns); zeros if nothing was counted."""
        return self._sum / max(self.count, 1)

    def mean_magnitude(self) -> Array:
        """The mean of |x| for each column of a linear layer's inputs, all rows counted."""
        return self._magnitudes / max(self._rows, 1)


class PairedMoments:
    """What `InputMoments` has, of the inputs of a layer in two models: those that it is to be used with, and others.

    Args:
        columns, groups, limit, seed: as of `InputMoments`.

    Attributes:
        count: rows that were counted.
    """

    def __init__(self, columns: int, groups: int, limit: int, seed: int) -> None:
        self.limit, self.count = limit, 0
        self._rng = np.random.default_rng(seed)
        self._sums = np.zeros((3, groups, columns, columns))

    def add(self, x: NDArray[Any], other: NDArray[Any], windows: Windows | None = None) -> None:
        """Adds arrays of the inputs, of one shape; ValueError for NaN or infinity."""
        chosen = _chosen(x, windows, self.limit, self._rng)
        rows, others = (_rows(each, windows, chosen) for each in (x, other))
        for part, second in _parts(rows, others):
            turned = part.transpose(0, 2, 1)
            self._sums[0] += turned @ part
            self._sums[1] += turned @ second
            self._sums[2] += second.transpose(0, 2, 1) @ second
        self.count += rows.shape[1]

    def means(self) -> Array:
        """The means over rows of x x^T, x other^T and other other^T, each (groups, columns, columns)."""
        return self._sums / max(self.count, 1)


def _chosen(x: NDArray[Any], windows: Windows | None, limit: int, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Numbers of rows drawn at random, `limit` a sample; None: all."""
    total, limit = windows.positions(x.shape) if windows else math.prod(x.shape[:-1]), limit * max(1, len(x))
    return np.sort(rng.choice(total, limit, replace=False)) if total > limit else None


def _rows(x: NDArray[Any], windows: Windows | None, chosen: NDArray[np.int64] | None) -> NDArray[Any]:
    """(groups, rows, columns). ValueError for NaN or infinity."""
    if windows is not None:
        rows = windows.rows(x, chosen)
    else:
        flat = x.reshape(-1, x.shape[-1])
        rows = (flat if chosen is None else flat[chosen])[None]
    if not np.isfinite(rows).all():
        raise ValueError("Expected finite inputs of layers, got NaN or infinity")
    return rows


def _parts(rows: NDArray[Any], others: NDArray[Any]) -> Iterator[tuple[Array, Array]]:
    """Both in float64, some rows at a time."""
    step = max(1, CHUNK // max(1, rows.shape[0] * rows.shape[2]))
    for first in range(0, rows.shape[1], step):
        part = rows[:, first:first + step].astype(np.float64)
        yield part, part if others is rows else others[:, first:first + step].astype(np.float64)


def as_rows(weight: NDArray[Any], groups: int) -> Array:
    """A weight with output channels first, (out, in / groups, *kernel), as (groups, out / groups, columns)."""
    return weight.reshape(groups, len(weight) // groups, -1).astype(np.float64)


def from_rows(rows: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """What `as_rows` was given, from its result."""
    return np.asarray(rows.reshape(like.shape), like.dtype)

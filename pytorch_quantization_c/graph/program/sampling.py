"""Resizes images and arrays of floats, one axis at a time."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..interpreter.resize import COORDINATES, MODES, NEAREST, Sampling
from .operations import Key, Operation

__all__ = ["MAX_SIZE", "Sampled"]

MAX_SIZE = 2 ** 24  # of an axis


@dataclass(eq=False)
class Sampled(Operation):
    """Resamples an axis, each element a weighted sum of neighbours, by a `factor` or to a new `size`.

    Of images the axis is 2 or 3, as of their arrays.
    """

    input: Key
    outputs: list[Key]
    axis: int
    mode: str
    coordinates: str
    rule: str
    cubic: float
    exclude: bool
    factor: float | None
    size: int | None

    def reads(self) -> list[Key]:
        return [self.input]

    def writes(self) -> list[Key]:
        return self.outputs

    def check(self) -> None:
        """ValueError for anything that ONNX's Resize does not have."""
        if (self.mode not in MODES or self.coordinates not in COORDINATES or self.rule not in NEAREST
                or not np.isfinite(self.cubic)):
            raise ValueError(f"expected a Resize of ONNX, got {self.mode[:40]}, {self.coordinates[:40]}, "
                             f"{self.rule[:40]} and {self.cubic}")
        if (self.factor is None) == (self.size is None) or not 0 < (self.factor or self.size or 0) <= MAX_SIZE:
            raise ValueError(f"expected a factor or a size up to {MAX_SIZE}, got {self.factor} and {self.size}")

    def count(self, n: int) -> int:
        """The new size of an axis of n. ValueError if there is none."""
        count = self.size if self.size is not None else int(np.floor(n * (self.factor or 0.0)))
        if not 1 <= count <= MAX_SIZE:
            raise ValueError(f"an axis of {count} elements instead of {n}")
        return count

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the output. ValueError if there is no such axis."""
        if not 0 <= self.axis < len(shape):
            raise ValueError(f"axis {self.axis} of {shape}")
        return (*shape[:self.axis], self.count(shape[self.axis]), *shape[self.axis + 1:])

    def taps(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The input elements that each output element sums up, and their weights."""
        m, sized = self.count(n), self.size is not None
        factor = m / n if sized else self.factor or 0.0
        sampling = Sampling(self.mode, self.coordinates, self.rule, self.cubic, self.exclude)
        found = sampling.taps(n, m, factor, sized, np.float32)
        if found is None:
            return np.arange(n)[:, None], np.ones((n, 1), np.float32)
        return np.ascontiguousarray(found[0]), np.ascontiguousarray(found[1])

"""Arrays that come from integers: integers as floats, and elements at fixed positions."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .operations import Key, Single

__all__ = ["Integers", "Picked"]

Shape = tuple[int, ...]


@dataclass(eq=False)
class Integers(Single):
    """An array of int64 as floats; `truths`: as 1 where it is not 0."""

    truths: bool

    def integers(self) -> list[Key]:
        """The inputs that are int64."""
        return [self.input]


@dataclass(eq=False)
class Picked(Single):
    """A GatherND by constant `indices`, whose last axis holds places along the first axes."""

    indices: NDArray[np.int64]

    def check(self) -> None:
        """ValueError for invalid indices."""
        if self.indices.ndim < 1 or not self.indices.size:
            raise ValueError(f"expected places along the first axes, got {list(self.indices.shape)}")

    def shape(self, shape: Shape) -> Shape:
        """The shape of the output. ValueError if there are no such places."""
        count = self.indices.shape[-1]
        if count > len(shape) or any(not -size <= column.min() <= column.max() < size for size, column in
                                     zip(shape, np.moveaxis(self.indices, -1, 0), strict=False)):
            raise ValueError(f"places in an array of shape {shape}")
        return (*self.indices.shape[:-1], *shape[count:]) or (1,)

    def rows(self, shape: Shape) -> NDArray[np.int64]:
        """The number of each place, from 0 on."""
        sizes, made = shape[:self.indices.shape[-1]], np.zeros(self.indices.shape[:-1], np.int64)
        for size, column in zip(sizes, np.moveaxis(self.indices, -1, 0), strict=True):
            made = made * size + column % size
        return made.reshape(-1)

    def row(self, shape: Shape) -> tuple[int, int]:
        """Rows to choose from, elements of a row."""
        count = self.indices.shape[-1]
        return math.prod(shape[:count]), math.prod(shape[count:])

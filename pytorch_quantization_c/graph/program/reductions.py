"""Sums, means and extremes of float arrays over axes that follow each other."""
from __future__ import annotations

import math
from dataclasses import dataclass

from ..interpreter.reductions import KINDS
from .operations import Single

__all__ = ["Reduced"]

Shape = tuple[int, ...]


@dataclass(eq=False)
class Reduced(Single):
    """Reduces the axes from `first` to `last`; `keep`: they remain with size 1, else they are dropped."""

    kind: str
    first: int
    last: int
    keep: bool

    def check(self) -> None:
        """ValueError for an unknown kind, or axes in another order."""
        if self.kind not in KINDS or not 0 <= self.first <= self.last:
            raise ValueError(f"expected a reduction among {', '.join(KINDS)} of some axes, got {self.kind[:40]} of "
                             f"{self.first} to {self.last}")

    def shape(self, shape: Shape) -> Shape:
        """The shape of the output. ValueError if there are no such axes."""
        if self.last >= len(shape) or (len(shape) == self.last + 1 - self.first and not self.keep):
            raise ValueError(f"axes {self.first} to {self.last} of {shape}")
        return (*shape[:self.first], *((1,) * (self.last + 1 - self.first) if self.keep else ()),
                *shape[self.last + 1:])

    def rows(self, shape: Shape) -> tuple[int, int, int]:
        """Outer size, elements reduced to one, and inner size."""
        return (math.prod(shape[:self.first]), math.prod(shape[self.first:self.last + 1]),
                math.prod(shape[self.last + 1:]))

"""Float arrays padded with their own elements, images padded with one number."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .operations import Single
from .strided import MAX_PADDING

__all__ = ["MODES", "Padded", "PaddedImage"]

MODES = ("edge", "reflect", "wrap")
Shape = tuple[int, ...]


@dataclass(eq=False)
class Padded(Single):
    """`before` and `after` more elements along an axis, taken from the array as in NumPy's pad of this mode."""

    axis: int
    before: int
    after: int
    mode: str

    def check(self) -> None:
        """ValueError for an unknown mode, or invalid amounts."""
        low, high = sorted((self.before, self.after))
        if self.mode not in MODES or not 0 <= low <= high <= MAX_PADDING:
            raise ValueError(f"expected up to {MAX_PADDING} elements more in mode {', '.join(MODES)}, got {self}")

    def shape(self, shape: Shape) -> Shape:
        """The shape of the output. ValueError if there is no such axis."""
        if not 0 <= self.axis < len(shape):
            raise ValueError(f"axis {self.axis} of {shape}")
        size = shape[self.axis] + self.before + self.after
        return (*shape[:self.axis], size, *shape[self.axis + 1:])

    def indices(self, size: int) -> NDArray[np.int64]:
        """The index that each element of a padded row is copied from."""
        return np.pad(np.arange(size), (self.before, self.after), self.mode)  # type: ignore[call-overload, no-any-return]


@dataclass(eq=False)
class PaddedImage(Single):
    """Images of the same codes with pixels of one number around them."""

    top: int
    bottom: int
    left: int
    right: int
    number: float

    def check(self) -> None:
        """ValueError for amounts that there are not."""
        amounts = self.top, self.bottom, self.left, self.right
        if not 0 <= min(amounts) <= max(amounts) <= MAX_PADDING or not np.isfinite(self.number):
            raise ValueError(f"expected 0 to {MAX_PADDING} pixels of padding by a finite number, got {self}")

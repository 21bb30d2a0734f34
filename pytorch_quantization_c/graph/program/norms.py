"""Normalisation of float arrays by instance, or by groups of channels."""
from __future__ import annotations

import math
from dataclasses import dataclass

from .operations import Key, Single

__all__ = ["Normed"]

Shape = tuple[int, ...]


@dataclass(eq=False)
class Normed(Single):
    """Normalises groups of channels of (N, C, ...) to mean 0 and variance 1, then scales and shifts each channel.

    groups: 0 means one per channel.
    """

    weight: Key | None
    bias: Key | None
    groups: int
    epsilon: float

    def reads(self) -> list[Key]:
        return [self.input, *(each for each in (self.weight, self.bias) if each is not None)]

    def check(self) -> None:
        """ValueError for a negative number of groups."""
        if self.groups < 0:
            raise ValueError(f"expected groups of channels, got {self.groups}")

    def parts(self, shape: Shape) -> tuple[int, int, int]:
        """Groups, channels of each, numbers of a channel. ValueError if the channels cannot be divided so."""
        if len(shape) < 2 or shape[1] % (self.groups or 1):
            raise ValueError(f"{self.groups} groups of channels of {shape}")
        groups = self.groups or shape[1]
        return groups, shape[1] // groups, math.prod(shape[2:])

    def shape(self, shape: Shape, weight: Shape | None, bias: Shape | None) -> Shape:
        """The shape of the output. ValueError if the inputs do not fit."""
        self.parts(shape)
        if any(each not in (None, shape[1:2]) for each in (weight, bias)):
            raise ValueError(f"weights of shapes {weight} and {bias} for the channels of {shape}")
        return shape

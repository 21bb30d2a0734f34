"""Gathers elements of float arrays by integer indices, such as rows of an embedding."""
from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from .operations import Key, Operation
from .strided import AXES

__all__ = ["Gathered", "Located"]

Shape = tuple[int, ...]


@dataclass(eq=False)
class _Indexed(Operation):
    """Elements that int64 indices select."""

    input: Key
    indices: Key
    output: Key

    def reads(self) -> list[Key]:
        return [self.input, self.indices]

    def writes(self) -> list[Key]:
        return [self.output]

    def integers(self) -> list[Key]:
        """The inputs that are int64."""
        return [self.indices]

    @abstractmethod
    def shape(self, shape: Shape, indices: Shape) -> Shape:
        """The shape of the output. ValueError if the indices are none of such an array."""


@dataclass(eq=False)
class Gathered(_Indexed):
    """Elements along an axis, selected by int64 indices; `whole`: the axes of the indices replace it.

    Otherwise there is a single index, and the axis is dropped. `elements`: the indices select elements of their own row
    along the last axis.
    """

    axis: int
    whole: bool = True
    elements: bool = False

    def check(self) -> None:
        """ValueError if one array is both."""
        if self.input == self.indices:
            raise ValueError("expected indices and elements in different arrays")

    def shape(self, shape: Shape, indices: Shape) -> Shape:
        """The shape of the output. ValueError if there is no such axis."""
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"axis {self.axis} of {shape}")
        if self.elements:
            if self.axis % len(shape) != len(shape) - 1 or shape[:-1] != indices[:-1] or not indices:
                raise ValueError(f"elements of {shape} by indices of {indices}")
            return indices
        if not self.whole and math.prod(indices) != 1:
            raise ValueError(f"one index of shape {indices}")
        axis = self.axis % len(shape)
        return (*shape[:axis], *(indices if self.whole else ()), *shape[axis + 1:])

    def rows(self, shape: Shape) -> tuple[int, int, int]:
        """Arrays, rows of each to choose from, elements of a row."""
        axis = self.axis % len(shape)
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:])


@dataclass(eq=False)
class Located(_Indexed):
    """Elements along the first axes, or arrays of the others, at the places that the last axis of int64 indices names.

    axes: how many they are.
    """

    axes: int

    def check(self) -> None:
        """ValueError if one array is both, or for a number of axes that C does not know."""
        if self.input == self.indices or not 1 <= self.axes <= AXES:
            raise ValueError(f"expected indices and elements in different arrays, and 1 to {AXES} axes, "
                             f"got {self.axes}")

    def shape(self, shape: Shape, indices: Shape) -> Shape:
        """The shape of the output. ValueError if there are no such axes."""
        if not indices or indices[-1] != self.axes or self.axes > len(shape):
            raise ValueError(f"places in {shape} by indices of {indices}")
        return (*indices[:-1], *shape[self.axes:]) or (1,)

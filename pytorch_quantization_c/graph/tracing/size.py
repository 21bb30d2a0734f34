"""Sizes of traced arrays: integers that record what they are compared with."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["Questions", "as_numbers", "shape_of"]

LIMIT = 2**31
Back = Callable[[int], list[int]]
OWN = __name__.rpartition(".")[0].rpartition(".")[0] + "."  # pytorch_quantization_c.graph.


class Questions:
    """What a model's code has asked about sizes: a size, and others at which the answer may differ."""

    def __init__(self) -> None:
        self.asked: dict[tuple[int, int], None] = {}

    def note(self, size: int, others: list[int]) -> None:
        """Records `others`, unless the graph's own code asks."""
        frame: Any = sys._getframe(1)
        while frame.f_globals.get("__name__") == __name__ and frame.f_back is not None:
            frame = frame.f_back
        if not frame.f_globals.get("__name__", "").startswith(OWN):
            self.asked.update({(size, other): None for other in others if other >= 0 and other != size})

    def sizes_for(self, size: int) -> list[int]:
        """Other sizes worth trying for an axis of this size, the nearest first.

        What was asked about a size m of an inner value stands for an axis of n elements times n / m.
        """
        found = {round(other * size / own) + near for own, other in self.asked if own for near in (0, -1, 1)}
        return sorted((n for n in found if n >= 1 and n != size), key=lambda n: abs(n - size))


class Size(int):
    """A size in a traced run. Arithmetic with integers gives a size again; comparisons are recorded.

    Args:
        value: what it is in this run.
        root: the size of the array that it was computed from.
        back: which sizes of the array would make it a number.
    """

    _root: int
    _back: Back
    _questions: Questions

    def __new__(cls, value: int, root: int, back: Back, questions: Questions) -> Size:
        made = super().__new__(cls, value)
        made._root, made._back, made._questions = root, back, questions
        return made

    def _with(self, value: int, back: Back) -> Size:
        return Size(value, self._root, lambda wanted: [n for each in back(wanted) for n in self._back(each)],
                    self._questions)

    def __add__(self, other: Any) -> Any:
        return self._with(int(self) + int(other), lambda wanted: [wanted - int(other)]) if _is_whole(other) else \
            int(self) + other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._with(int(self) - int(other), lambda wanted: [wanted + int(other)]) if _is_whole(other) else \
            int(self) - other

    def __rsub__(self, other: Any) -> Any:
        return self._with(int(other) - int(self), lambda wanted: [int(other) - wanted]) if _is_whole(other) else \
            other - int(self)

    def __mul__(self, other: Any) -> Any:
        if not _is_whole(other):
            return int(self) * other
        return self._with(int(self) * int(other), lambda wanted: [wanted // int(other)] if other else [])

    __rmul__ = __mul__

    def __neg__(self) -> Size:
        return self._with(-int(self), lambda wanted: [-wanted])

    def __abs__(self) -> Size:
        return self._with(abs(int(self)), lambda wanted: [wanted, -wanted])

    def __floordiv__(self, other: Any) -> Any:
        if not _is_whole(other) or not other:
            return int(self) // other
        self._ask(other, 2 * other)
        return self._with(int(self) // int(other), lambda wanted: [wanted * int(other)])

    def __mod__(self, other: Any) -> Any:
        if not _is_whole(other) or not other:
            return int(self) % other
        value, by = int(self), int(other)
        self._ask(*_of_remainder(value, by, 0), *_of_remainder(value, by, 1))
        return self._with(value % by, lambda wanted: _of_remainder(value, by, wanted))

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __truediv__(self, other: Any) -> Any:
        if _is_whole(other):
            self._ask(other, other // 2)
        return int(self) / other

    def __and__(self, other: Any) -> Any:
        self._ask(*_powers(int(self)))
        return int(self) & other

    __rand__ = __and__

    def bit_length(self) -> int:
        """As for any integer."""
        self._ask(*_powers(int(self)))
        return int(self).bit_length()

    def __eq__(self, other: Any) -> Any:
        return int(self) == self._plain(other, alone=True)

    def __ne__(self, other: Any) -> Any:
        return int(self) != self._plain(other, alone=True)

    def __lt__(self, other: Any) -> Any:
        return int(self) < self._plain(other)

    def __le__(self, other: Any) -> Any:
        return int(self) <= self._plain(other)

    def __gt__(self, other: Any) -> Any:
        return int(self) > self._plain(other)

    def __ge__(self, other: Any) -> Any:
        return int(self) >= self._plain(other)

    def __bool__(self) -> bool:
        self._ask(0)
        return int(self) != 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc.nin == 2 and method == "__call__":  # NumPy takes a number of another class for one of 64 bits
            for other in inputs:
                if isinstance(other, int | float | np.number):
                    self._plain(other)
        return getattr(ufunc, method)(*as_numbers(inputs), **kwargs)

    __hash__ = int.__hash__

    def __reduce__(self) -> Any:
        return int, (int(self),)

    def _plain(self, other: Any, alone: bool = False) -> Any:
        """Records what the size is compared with and, unless `alone`, its neighbours."""
        if isinstance(other, Size):
            other = int(other)
        if isinstance(other, int | float | np.number) and -LIMIT < other < LIMIT:
            self._ask(*(int(other) + near for near in ((0,) if alone else (0, 1, -1))))
        return other

    def _ask(self, *values: int) -> None:
        self._questions.note(self._root, [n for value in values for n in self._back(int(value))])


def _is_whole(other: Any) -> bool:
    return isinstance(other, int | np.integer)


def _of_remainder(value: int, by: int, wanted: int) -> list[int]:
    """The numbers nearest to a value that leave this remainder."""
    above = value + (wanted - value) % by
    return [above, above + by, above - by]


def _powers(value: int) -> Iterator[int]:
    return (1 << bits for bits in range(max(value.bit_length() - 2, 0), value.bit_length() + 3))


def as_numbers(values: Any) -> Any:
    """Nested tuples, lists and dictionaries with plain numbers instead of sizes."""
    if isinstance(values, tuple | list):
        plains = [as_numbers(value) for value in values]
        return plains if type(values) is list else tuple(plains) if type(values) is tuple else type(values)(*plains)
    if isinstance(values, dict):
        return {name: as_numbers(value) for name, value in values.items()}
    return int(values) if isinstance(values, Size) else values


def shape_of(shape: tuple[int, ...], questions: Questions) -> tuple[Size, ...]:
    """A shape whose sizes record what they are compared with."""
    return tuple(Size(size, size, lambda wanted: [wanted], questions) for size in shape)

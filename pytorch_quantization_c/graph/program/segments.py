"""Runs of operations for one call of C each, with Python between."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from heapq import heappop, heappush

import numpy as np

from .gather import Gathered, Located
from .integers import Integers
from .operations import Key, Operation, Python
from .recurrent import Recurrent
from .strided import Moved

__all__ = ["Segment", "needed_for", "segments_of"]


class Segment:
    """Operations for one call.

    Attributes:
        inputs: what they read that others make.
        outputs: what others read of what they make.
        integers: the inputs that are integers, and their types.
        sizes: those of them that are shapes, which a plan has to know.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = list(operations)
        self.made = {key for each in operations for key in each.writes()}
        self.inputs = list(dict.fromkeys(key for each in operations for key in each.reads() if key not in self.made))
        self.outputs: list[Key] = []
        self.integers: dict[Key, type[np.int32 | np.int64]] = {}
        self.sizes = {each.given for each in operations if isinstance(each, Moved) and each.given is not None}
        for each in operations:
            if isinstance(each, Gathered | Integers | Located | Moved | Recurrent):
                kind = np.int32 if isinstance(each, Recurrent) else np.int64
                self.integers.update(dict.fromkeys(each.integers(), kind))

    def with_sizes(self, sizes: Mapping[Key, Sequence[int]]) -> Segment:
        """The same segment with the shapes that are given; KeyError if one is missing."""
        made = copy(self)
        made.operations = [
            replace(each, numbers=[*each.numbers, *sizes[each.given]], given=None)
            if isinstance(each, Moved) and each.given is not None else each for each in self.operations]
        return made


class _Waiting:
    """Operations that wait for values, and those whose values are there, in the order in which they stand."""

    def __init__(self, operations: Sequence[Operation], known: Iterable[Key]) -> None:
        have = set(known)
        self._operations = operations
        self._missing = [set(each.reads()) - have for each in operations]
        self._readers: dict[Key, list[int]] = {}
        self._ready: dict[bool, list[int]] = {False: [], True: []}  # heaps; True: those of Python
        for number, missing in enumerate(self._missing):
            for key in missing:
                self._readers.setdefault(key, []).append(number)
            if not missing:
                self._put(number)

    def _put(self, number: int) -> None:
        heappush(self._ready[isinstance(self._operations[number], Python)], number)

    def take(self, by_python: bool) -> list[Operation]:
        """Takes all operations of one kind that are ready, or become ready through each other."""
        heap, taken = self._ready[by_python], list[Operation]()
        while heap:
            each = self._operations[heappop(heap)]
            taken.append(each)
            for key in each.writes():
                for number in self._readers.pop(key, ()):
                    self._missing[number].discard(key)
                    if not self._missing[number]:
                        self._put(number)
        return taken

    def names(self) -> str:
        """The names of some operations that are still waiting."""
        left = {each.name for each, missing in zip(self._operations, self._missing, strict=True) if missing}
        return ", ".join(sorted(left)[:5])


def segments_of(operations: Sequence[Operation], known: Iterable[Key], wanted: Iterable[Key]) -> list[Segment | Python]:
    """The operations in an order with few segments: all that are ready, then the ready Python ones, and so on."""
    waiting, left = _Waiting(operations, known), len(operations)
    order: list[Segment | Python] = []
    while left:
        ready = waiting.take(by_python=False)
        if ready:
            order.append(Segment(ready))
        python = waiting.take(by_python=True)
        order.extend(each for each in python if isinstance(each, Python))
        if not ready and not python:
            raise ValueError(f"operations depend on each other in a cycle: {waiting.names()}")
        left -= len(ready) + len(python)
    _set_outputs(order, set(wanted))
    return order


def needed_for(wanted: Iterable[Key], known: Iterable[Key], operations: Sequence[Operation]) -> list[Operation]:
    """The operations without which some wanted values could not be made of the known ones."""
    makers = {key: each for each in operations for key in each.writes()}
    left, seen, needed = list(wanted), set(known), set[Operation]()
    while left:
        key = left.pop()
        if key in seen:
            continue
        seen.add(key)
        needed.add(makers[key])
        left.extend(makers[key].reads())
    return [each for each in operations if each in needed]


def _set_outputs(order: Sequence[Segment | Python], wanted: set[Key]) -> None:
    read = set(wanted)
    for each in reversed(order):
        if isinstance(each, Segment):
            each.outputs = [key for operation in each.operations for key in operation.writes() if key in read]
            read.update(each.inputs)
        else:
            read.update(each.reads())

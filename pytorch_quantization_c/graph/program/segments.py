"""Runs of operations for one call of C each, with Python between."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from .gather import Gathered
from .integers import Integers
from .operations import Key, Operation, Python

__all__ = ["Segment", "segments_of"]


class Segment:
    """Operations for one call.

    Attributes:
        inputs: what they read that others make.
        outputs: what others read of what they make.
        integers: the inputs that are int64.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = list(operations)
        self.made = {key for each in operations for key in each.writes()}
        self.inputs = list(dict.fromkeys(key for each in operations for key in each.reads() if key not in self.made))
        self.outputs: list[Key] = []
        self.integers = {key for each in operations if isinstance(each, Gathered | Integers) for key in each.integers()}


def segments_of(operations: Sequence[Operation], known: Iterable[Key], wanted: Iterable[Key]) -> list[Segment | Python]:
    """The operations in an order with few segments: all that are ready, then the ready Python ones, and so on."""
    have, left = set(known), list(operations)
    order: list[Segment | Python] = []
    while left:
        ready, later = _ready([each for each in left if not isinstance(each, Python)], have)
        if ready:
            order.append(Segment(ready))
        python, waiting = _ready([each for each in left if isinstance(each, Python)], have)
        order.extend(each for each in python if isinstance(each, Python))
        if not ready and not python:
            names = ", ".join(sorted({each.name for each in left})[:5])
            raise ValueError(f"operations depend on each other in a cycle: {names}")
        left = [*later, *waiting]
    _set_outputs(order, set(wanted))
    return order


def _ready(operations: Sequence[Operation], have: set[Key]) -> tuple[list[Operation], list[Operation]]:
    ready, later = [], []
    for each in operations:
        if have.issuperset(each.reads()):
            ready.append(each)
            have.update(each.writes())
        else:
            later.append(each)
    return ready, later


def _set_outputs(order: Sequence[Segment | Python], wanted: set[Key]) -> None:
    read = set(wanted)
    for each in reversed(order):
        if isinstance(each, Segment):
            each.outputs = [key for operation in each.operations for key in operation.writes() if key in read]
            read.update(each.inputs)
        else:
            read.update(each.reads())

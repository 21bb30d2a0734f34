"""How the operations of a program run, and what they take."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .operations import Concat, Conv, Export, Import, Operation, Pool, Python
from .run import Program
from .segments import Segment
from .shapes import Unsupported

__all__ = ["Profile", "Row", "profiled", "rows_of"]

KERNELS = {Import: "import", Export: "export", Pool: "max pool", Concat: "concat", Python: "Python"}


class Row(NamedTuple):
    """An operation: the name of its node, its kernel, the bytes of its weights, and microseconds if it was measured."""

    name: str
    kernel: str
    weights: int = 0
    microseconds: float | None = None


class Profile(list[Row]):
    """Rows in the order of a call."""

    @property
    def total(self) -> float:
        """Microseconds of all operations."""
        return sum(row.microseconds or 0.0 for row in self)

    def __str__(self) -> str:
        width = max((len(row.name) for row in self), default=4)
        lines = [f"{row.name:{width}}  {row.kernel:12} {row.microseconds or 0:10.1f} us" for row in self]
        return "\n".join([*lines, f"{'total':{width}}  {'':12} {self.total:10.1f} us"])


def _kernel(each: Operation) -> str:
    if not isinstance(each, Conv):
        return KERNELS[type(each)]
    if each.input.matrix:
        return "linear"
    return "depthwise" if each.depthwise else "convolution"


def _row(each: Operation, microseconds: float | None = None) -> Row:
    return Row(each.name, _kernel(each), each.weight.nbytes if isinstance(each, Conv) else 0, microseconds)


def rows_of(program: Program) -> list[Row]:
    """The operations in the order of a call."""
    return [_row(operation) for each in program.order
            for operation in (each.operations if isinstance(each, Segment) else [each])]


def profiled(program: Program, feeds: dict[str, Any], outputs: Sequence[str], repeats: int) -> Profile:
    """The medians of some calls. Unsupported if the interpreter has to compute them."""
    runs = []
    for _ in range(max(1, repeats) + 1):
        times: list[tuple[Operation, int]] = []
        if program.run(feeds, outputs, times) is None:
            raise Unsupported("values without a code")
        runs.append(times)
    medians = np.median([[nanoseconds for _, nanoseconds in times] for times in runs[1:]], axis=0)
    return Profile(_row(each, float(time) / 1000) for (each, _), time in zip(runs[0], medians, strict=True))

"""The nodes that a program computes in Python: their functions, and the arrays they are called with."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import computed
from ..interpreter.record import Compute

__all__ = ["Call"]


@dataclass(eq=False)
class Call:
    """A node without a kernel.

    shown: the node, for messages.
    operands: the values that the function gets, in its order; None where an optional one is left out.
    names: of these values.
    compute: from their arrays to the outputs.
    """

    shown: str
    operands: list[int | None]
    names: list[str | None]
    compute: Compute

    def __call__(self, values: Mapping[int, Any]) -> Sequence[Any]:
        """The outputs; GraphError that names the node if it cannot be computed."""
        arrays = [None if number is None else values[number] for number in self.operands]
        return computed(self.compute, arrays, lambda: self.shown, lambda: self.names)

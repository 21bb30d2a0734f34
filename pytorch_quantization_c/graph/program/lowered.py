"""What a graph is lowered to."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .operations import Operation

__all__ = ["Lowered"]


class Lowered:
    """A program: its operations in order, and the numbers of the values that go in and out."""

    def __init__(self, operations: Sequence[Operation], inputs: dict[str, int], outputs: dict[str, int],
                 constants: dict[int, Any]) -> None:
        self.operations, self.inputs, self.outputs, self.constants = list(operations), inputs, outputs, constants

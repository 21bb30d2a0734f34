"""The table behind the decisions of a search for formats."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Decision", "Decisions", "fewest_that_hold"]


@dataclass(frozen=True)
class Decision:
    """A layer: the SQNR in dB of the model's outputs with it alone quantised as asked, and what it was given.

    `format` is "8 bits", "4 bits" and so on, or "float".
    """

    layer: str
    sensitivity: float
    format: str


@dataclass(frozen=True)
class Decisions:
    """The table that a search decided by, the most sensitive layer first; printed as one.

    Attributes:
        goal: what was asked for.
        rows: one a layer.
        tried: what was measured on the way: what was done, and the measure.
    """

    goal: str
    rows: tuple[Decision, ...]
    tried: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        """The table."""
        width = max([5, *(len(row.layer) for row in self.rows)])
        lines = [self.goal, f"{'layer':<{width}}  alone, dB  format"]
        lines += [f"{row.layer:<{width}}  {row.sensitivity:9.2f}  {row.format}" for row in self.rows]
        return "\n".join([*lines, *(f"{what}: {value:.6g}" for what, value in self.tried)])

    __repr__ = __str__


def fewest_that_hold(most: int, holds: Callable[[int], bool]) -> int | None:
    """The least number from 0 to `most` for which a test holds that holds for all larger ones as well; None if none.

    0, 1, 2, 4 and so on are tried until the test holds, then the numbers between by bisection, none twice. A test that
    is not quite monotonic, as a metric on few samples, so gives a small number rather than any.
    """
    low, high = -1, 0
    while not holds(high):
        if high == most:
            return None
        low, high = high, min(max(2 * high, 1), most)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

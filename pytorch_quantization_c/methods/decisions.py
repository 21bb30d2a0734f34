"""The table that a search for formats decided by."""
from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Decision", "Decisions"]


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

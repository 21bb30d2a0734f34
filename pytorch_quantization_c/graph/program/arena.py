"""The layout of a segment's values in the arena."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Block", "lay_out"]

LINE = 64


@dataclass
class Block:
    """Bytes that are live from one operation to another, inclusive."""

    size: int
    first: int
    last: int
    offset: int = 0


def lay_out(blocks: Sequence[Block]) -> int:
    """Sets the offsets, multiples of 64; returns the size of the arena.

    Best fit, largest first: each block goes into the smallest gap between blocks that are live at the same time.
    """
    placed: dict[int, list[Block]] = {}  # by the operations during which they are live
    for block in sorted(blocks, key=lambda each: -each.size):
        block.size = -(-block.size // LINE) * LINE
        during = range(block.first, block.last + 1)
        others = {id(each): each for number in during for each in placed.get(number, ())}
        block.offset = _best_gap(block, [*others.values()])
        for number in during:
            placed.setdefault(number, []).append(block)
    return max((each.offset + each.size for each in blocks), default=0)


def _best_gap(block: Block, others: list[Block]) -> int:
    best, least, end = None, None, 0
    for other in sorted(others, key=lambda each: each.offset):
        gap = other.offset - end
        if gap >= block.size and (least is None or gap < least):
            best, least = end, gap
        end = max(end, other.offset + other.size)
    return end if best is None else best

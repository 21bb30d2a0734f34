"""Convolutions and pools that follow each other on one large image, which C runs by bands of rows (bands.c)."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .arena import Block
from .operations import Conv, Key, Operation, Pool
from .shapes import Dims

__all__ = ["keep_together"]

MAX_TOGETHER = 8  # of bands.c
L2_WORKING_SET = 2 << 20  # PQC_L2_WORKING_SET


def keep_together(operations: Sequence[Operation], blocks: Mapping[Key, Block], dims: Mapping[Key, Dims],
                  bytes_of: Callable[[Key], int]) -> None:
    """Keeps what such neighbours read and write until the last of them has run: no two of them share memory."""
    begin = 0
    while begin < len(operations):
        end = begin + 1
        while end - begin < MAX_TOGETHER and end < len(operations) and _is_followed(
                operations[end - 1], operations[end], dims):
            end += 1
        written = {key for each in operations[begin:end] for key in each.writes()}
        if end - begin > 1 and sum(map(bytes_of, written)) > L2_WORKING_SET:
            for each in operations[begin:end]:
                for block in filter(None, map(blocks.get, [*each.reads(), *each.writes()])):
                    block.first, block.last = min(block.first, begin), max(block.last, end - 1)
        begin = end


def _is_followed(each: Operation, by: Operation, dims: Mapping[Key, Dims]) -> bool:
    """Whether one is a convolution or a pool of an image, and the other one of its result."""
    return (isinstance(each, Conv | Pool) and isinstance(by, Conv | Pool) and by.input in each.writes()
            and dims[by.input].n == 1 and not any(one.operands for one in (each, by) if isinstance(one, Conv)))

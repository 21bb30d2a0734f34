"""Integers of up to 4 bits, two in a byte: row by row, the first in the low half, signed ones in two's complement."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_halves", "in_halves"]


def in_halves(values: NDArray[Any]) -> NDArray[np.uint8]:
    """int8 or uint8 of any shape as (rows, bytes of a row), a row being an index of axis 0."""
    rows = values.reshape(len(values), -1).view(np.uint8)
    if rows.shape[1] % 2:
        rows = np.concatenate([rows, np.zeros((len(rows), 1), np.uint8)], axis=1)
    packed: NDArray[np.uint8] = rows[:, ::2] & np.uint8(15) | rows[:, 1::2] << np.uint8(4)
    return packed


def from_halves(halves: NDArray[np.uint8], shape: tuple[int, ...], unsigned: bool) -> NDArray[Any]:
    """What `in_halves` was given: uint8 if unsigned, else int8, of this shape."""
    codes = np.stack([halves & np.uint8(15), halves >> np.uint8(4)], axis=-1).reshape(len(halves), -1)
    codes = np.ascontiguousarray(codes[:, :int(np.prod(shape[1:]))]).reshape(shape)
    return codes if unsigned else (codes ^ np.uint8(8)).view(np.int8) - np.int8(8)

"""Ranges of weights by the least squared error of a layer's outputs, found from the second moments of its inputs."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grid import MIN_AMAX, Array, nearest, over
from .squares_range import least_squares_range

__all__: list[str] = []     # nothing here checks its arguments

#: Tried around the range that is best where inputs do not correlate. 32 or a wider span lose 0.3 to 0.6 dB.
SHARES = np.geomspace(0.8, 1.3, 64)
MANY = 1024             # columns of a range up to which all are tried; of 2048 every second, of more every fourth
SWEEPS = 2              # over the groups of a row: each is chosen for the errors of the others
CHUNK = 1 << 22         # elements of the weight that are tried at a time


def output_ranges(rows: NDArray[np.floating], moment: Array, start: NDArray[np.float32], bits: int,
                  is_whole: bool = False) -> NDArray[np.float32]:
    """The range of each row, or of each group of its columns, of which rounding to nearest changes the outputs least.

    With e the rounding errors of a row and M the second moment of its inputs, the error is e^T M e. Unlike the errors
    of single weights, those of a sum can cancel: of many ranges that round about as finely the best is much better than
    the average. Costs columns^2 multiplications for each row and try, columns * group size of rows in groups. Takes
    some 200 MB at most: 2^22 elements of the weight are tried at a time.

    Args:
        rows: (n, rows, columns), as many matrices as the layer has groups of channels.
        moment: (n, columns, columns).
        start: ranges, (n, rows, groups): the answer is never worse on `moment`.
        bits: 2 to 8, of symmetric integers without the lowest one.
        is_whole: one range for everything; `start` is the same number throughout.

    Returns:
        Of the form of `start`.
    """
    found = np.array(start, np.float32)
    bound, count = (1 << (bits - 1)) - 1, max(1, CHUNK // max(rows.shape[0] * rows.shape[2], 1))
    parts = [slice(first, first + count) for first in range(0, rows.shape[1], count)]
    if is_whole:
        return _one_for_all(rows, moment, found, bits, parts)
    for part in parts:
        found[:, part] = _of_rows(rows[:, part].astype(np.float64), moment, found[:, part], bound)
    return found


def _one_for_all(rows: NDArray[np.floating], moment: Array, start: NDArray[np.float32], bits: int,
                 parts: list[slice]) -> NDArray[np.float32]:
    squares = np.repeat(np.einsum("gii->gi", moment), rows.shape[1], 0)
    centre = least_squares_range(rows.reshape(1, -1), squares.reshape(-1), bits)
    best, least = start, np.inf
    for tried in (start, *(np.full_like(start, centre[0] * share) for share in _shares(rows.shape[2]))):
        error = sum(float(_errors(_off(rows[:, part].astype(np.float64), tried[:, part], (1 << (bits - 1)) - 1), moment)
                          .sum()) for part in parts)
        if error < least:
            best, least = tried, error
    return best


def _of_rows(rows: Array, moment: Array, start: NDArray[np.float32], bound: int) -> NDArray[np.float32]:
    groups = start.shape[2]
    size = rows.shape[2] // max(groups, 1)
    squares = np.einsum("gii->gi", moment)
    centre = _least_by_squares(rows, squares, groups, bound)
    found = start.copy()
    blocks = [slice(number * size, (number + 1) * size) for number in range(groups)]
    off = np.concatenate([_off(rows[..., block], found[..., number:number + 1], bound)
                          for number, block in enumerate(blocks)], axis=2) if blocks else np.zeros_like(rows)
    slope = off @ moment            # of each row's error, but for a factor of 2
    for _ in range(SWEEPS if groups > 1 else 1):
        for number, block in enumerate(blocks):
            own, inner = rows[..., block], np.ascontiguousarray(moment[:, block, block])
            others = slope[..., block] - off[..., block] @ inner
            end, better = _best(own, inner, others, found[..., number:number + 1], centre[..., number:number + 1],
                                bound)
            found[..., number:number + 1] = end
            if groups > 1:
                slope += (better - off[..., block]) @ moment[:, block]
                off[..., block] = better
    return found


def _least_by_squares(rows: Array, squares: Array, groups: int, bound: int) -> Array:
    """The best ranges if inputs did not correlate: (n, rows, groups)."""
    if not rows.size:
        return np.zeros((*rows.shape[:2], groups))
    counted = np.repeat(squares, rows.shape[1], axis=0)
    found = least_squares_range(rows.reshape(-1, rows.shape[2] // groups), counted.reshape(-1), bound.bit_length() + 1)
    return found.reshape(*rows.shape[:2], groups)


def _best(rows: Array, moment: Array, others: Array, start: NDArray[np.float32], centre: Array,
          bound: int) -> tuple[NDArray[np.float32], Array]:
    """The best range of each row and its errors, where `others` is what the errors of other groups add to the slope."""
    end = start.copy()
    chosen = _off(rows, end, bound)
    least = _errors(chosen, moment, others)
    for share in _shares(rows.shape[2]):
        tried = np.asarray(centre * share, np.float32)
        off = _off(rows, tried, bound)
        error = _errors(off, moment, others)
        better = error < least
        least = np.where(better, error, least)
        end = np.where(better[..., None], tried, end)
        np.copyto(chosen, off, where=better[..., None])
    return end, chosen


def _shares(columns: int) -> tuple[float, ...]:
    """What is tried, of the range by squares, in rows of so many columns, each of which costs columns^2."""
    return 1.0, *map(float, SHARES[::1 if columns <= MANY else 2 if columns <= 2 * MANY else 4])


def _off(rows: Array, amax: NDArray[np.float32], bound: int) -> Array:
    """What rounding to nearest with a range for each row, (n, rows, 1), adds to each element."""
    scale = np.divide(np.float32(bound), amax, where=amax > MIN_AMAX, out=np.zeros_like(amax)).astype(np.float64)
    scale = np.broadcast_to(scale, rows.shape)
    return over(nearest(rows, scale, bound), scale) - rows


def _errors(off: Array, moment: Array, others: Array | None = None) -> Array:
    """e^T M e of each row, and twice its product with `others`: (n, rows)."""
    slope = off @ moment if others is None else off @ moment + 2 * others
    return np.asarray(np.einsum("goi,goi->go", slope, off))

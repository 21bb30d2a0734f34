"""`pad`: constants, reflections, repeated edges and periods."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, float_array, integer, number
from ..parameter import as_plain

__all__ = ["pad"]

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _crop(x: Array, amounts: list[tuple[int, int]]) -> tuple[Array, list[tuple[int, int]]]:
    """Cuts off where amounts are negative; returns what is left to add."""
    cuts = tuple(slice(max(0, -before), n - max(0, -after)) for n, (before, after) in
                 zip(x.shape, amounts, strict=True))
    if any(cut.stop < cut.start for cut in cuts):
        raise ShapeError(f"Expected negative `pad` within the sizes {x.shape}, got {amounts}")
    return x[cuts], [(max(0, before), max(0, after)) for before, after in amounts]


def _check_mode(x: Array, count: int, amounts: list[tuple[int, int]], mode: str) -> None:
    if mode not in MODES:
        raise ShapeError(f"Expected `mode` 'constant', 'reflect', 'replicate' or 'circular', got {shown(mode)}")
    if x.ndim not in (count + 1, count + 2):
        raise ShapeError(f"Expected `pad` of two numbers for each dimension but one or two, got {2 * count} numbers "
                         f"for `input` of shape {x.shape}")
    for size, pair in zip(x.shape, amounts, strict=True):
        if max(pair) == 0:
            continue
        most = size - 1 if mode == "reflect" else size
        if mode != "replicate" and max(pair) > most:
            raise ShapeError(f"Expected `pad` of at most {most} for size {size} in mode {shown(mode)}, got {pair}")
        if size == 0:
            raise ShapeError(f"Expected sizes > 0 in mode {shown(mode)}, got shape {x.shape}")


@traceable
def pad(input: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    """Adds elements at both ends of the last dimensions.

    Args:
        input: any shape for "constant"; (N, C, ...) or (C, ...) for the other modes.
        pad: amounts before and after the last dimension, then the one before it, and so on; negative ones cut off.
        mode: "constant" (`value`, by default 0), "reflect" (without the edge), "replicate" (the edge), "circular".
    """
    plain = as_plain(input)
    whole = isinstance(plain, np.ndarray) and plain.dtype.kind == "i"
    x = plain if whole else float_array(input, "input")
    if not isinstance(pad, Sequence | np.ndarray) or isinstance(pad, str):
        raise TypeError(f"Expected `pad` to be a sequence of integers, got {shown(pad)}")
    numbers = [integer(amount, "pad") for amount in pad]
    count = len(numbers) // 2
    if len(numbers) % 2 or count > x.ndim:
        raise ShapeError(f"Expected `pad` with two numbers for each of at most {x.ndim} dimensions of `input`, "
                         f"got {len(numbers)}")
    pairs = [(numbers[2 * i], numbers[2 * i + 1]) for i in reversed(range(count))]
    amounts = [(0, 0)] * (x.ndim - count) + pairs
    if mode == "constant":
        x, amounts = _crop(x, amounts)
        fill = np.asarray(0 if value is None else number(value, "value")).astype(x.dtype)
        return np.pad(x, amounts, constant_values=fill)
    if value is not None:
        raise ValueError(f"Expected no `value` in mode {shown(mode)}, got {value}")
    _check_mode(x, count, amounts, mode)
    x, amounts = _crop(x, amounts)
    return np.pad(x, amounts, mode=MODES[mode])  # type: ignore[call-overload, no-any-return]

"""Indexing as Slice, Squeeze, Unsqueeze and Gather."""
from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .array import Traced, plain_all
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["along", "get_item"]

END = 2 ** 63 - 1


def get_item(recording: Recording, x: Traced, index: Any) -> Any:
    """x[index]."""
    parts = index if isinstance(index, tuple) else (index,)
    real = x.view(np.ndarray)[plain_all(parts)]
    arrays = [part for part in parts if isinstance(part, np.ndarray | list)]
    if len(arrays) > 1:
        refuse("indexing with several arrays", "index one axis after the other")
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if not any(part is Ellipsis for part in parts):
        parts = (*parts, Ellipsis)
    spread: list[Any] = []
    for part in parts:
        spread += [slice(None)] * (x.ndim - used) if part is Ellipsis else [part]
    return recording.rebound(_picked(recording, x, spread), real)


def _picked(recording: Recording, x: Any, parts: list[Any]) -> Any:
    """By one part for each axis, and None where a new one is to be."""
    bounds: list[tuple[int, int, int, int]] = []  # start, end, axis, step
    dropped, gathered, new, axis, place = [], [], [], 0, 0
    for part in parts:
        if part is None:
            new.append(place)
            place += 1
            continue
        if isinstance(part, slice):
            if part != slice(None):
                start, end, step = _bounds(part)
                bounds.append((start, end, axis, step))
            place += 1
        elif isinstance(part, np.ndarray | list):
            gathered.append((axis, part))
            place += np.ndim(part)
        else:
            number = _index(part)
            end = number + 1 if number != -1 else END
            bounds.append((number, end, axis, 1))
            dropped.append(axis)
        axis += 1
    if gathered and dropped:
        refuse("indexing with an array and a number at once", "index one axis after the other")
    if bounds:
        x = recording.emit("Slice", x, *(np.array(each, np.int64) for each in zip(*bounds, strict=True)))
    for where, indices in gathered:
        x = along(recording, x, indices, where)
    if dropped:
        x = recording.emit("Squeeze", x, np.array(dropped, np.int64))
    return recording.emit("Unsqueeze", x, np.array(new, np.int64)) if new else x


def _index(part: Any) -> int:
    if isinstance(part, bool | np.bool_):
        refuse("indexing with a boolean")
    try:
        return operator.index(part)
    except TypeError:
        refuse(f"indexing with {type(part).__name__}")


def _bounds(part: slice) -> tuple[int, int, int]:
    step = 1 if part.step is None else _index(part.step)
    start = (0 if step > 0 else END) if part.start is None else _index(part.start)
    end = (END if step > 0 else -END) if part.stop is None else _index(part.stop)
    return start, end, step


def along(recording: Recording, x: Any, indices: Any, axis: int) -> Any:
    """The elements of an axis that an array of integers, or one of booleans that is a constant, picks."""
    if not isinstance(indices, Traced):
        indices = np.asarray(indices)
        if indices.dtype.kind == "b":
            if indices.ndim != 1:
                refuse("indexing with a mask of several dimensions", "use `np.where`")
            indices = np.flatnonzero(indices)
        indices = indices.astype(np.int64)
    elif indices.dtype.kind == "b":
        refuse("indexing with a mask that depends on the input", "the result has another size each time: `np.where`")
    if indices.dtype.kind not in "iu":
        refuse(f"indexing with {indices.dtype}")
    return recording.emit("Gather", x, recording.cast(indices, np.dtype(np.int64)), axis=axis)

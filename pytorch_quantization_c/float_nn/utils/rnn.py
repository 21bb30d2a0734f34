"""Sequences of different lengths: padded into one array, or packed moment by moment."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..checks import Array, ShapeError, float_array, integer, number
from ..parameter import as_plain

__all__ = ["PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence"]


class PackedSequence(NamedTuple):
    """Sequences side by side, longest first, cut into moments.

    Attributes:
        data: (sum of batch_sizes, ...): all of the first moment, all of the second, ...
        batch_sizes: how many sequences still run at each moment; integers that never grow.
        sorted_indices: where each of the packed sequences was before they were sorted; None: they were not.
        unsorted_indices: the inverse permutation.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


def pack_padded_sequence(input: ArrayLike, lengths: ArrayLike, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """Packs (T, N, ...), or (N, T, ...) if `batch_first`, whose sequences have the `lengths` (N).

    With `enforce_sorted=False` the sequences may come in any order; the packed one remembers it.
    """
    x = float_array(input, "input")
    counts = np.asarray(as_plain(lengths))
    if x.ndim < 2:
        raise ShapeError(f"Expected `input` with at least 2 dimensions, got shape {x.shape}")
    x = x.swapaxes(0, 1) if batch_first else x
    if counts.dtype.kind not in "iu":
        raise TypeError(f"Expected integers in `lengths`, got {counts.dtype}")
    if counts.shape != (x.shape[1],):
        raise ShapeError(f"Expected `len(lengths)` to be equal to batch_size {x.shape[1]}, got shape {counts.shape}")
    if counts.size == 0 or counts.min() <= 0 or counts.max() > len(x):
        raise ShapeError(f"Expected `lengths` within [1, {len(x)}], got {counts.tolist()}")
    order = back = None
    if not enforce_sorted:
        order = np.argsort(-counts, kind="stable")
        back = np.argsort(order, kind="stable")
        x, counts = x[:, order], counts[order]
    elif (np.diff(counts) > 0).any():
        raise ShapeError("`lengths` must be sorted in decreasing order when `enforce_sorted` is True")
    sizes = np.array([(counts > moment).sum() for moment in range(counts[0])], np.int64)
    data = np.concatenate([x[moment, :size] for moment, size in enumerate(sizes)])
    return PackedSequence(data, sizes, order, back)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Array, Array]:
    """The inverse of packing: the padded array in its original order, and the lengths."""
    packed = PackedSequence(*sequence)
    data, sizes = np.asarray(packed.data), np.asarray(packed.batch_sizes)
    length = len(sizes)
    if total_length is not None:
        length = integer(total_length, "total_length")
        if length < len(sizes):
            raise ShapeError(f"Expected total_length to be at least {len(sizes)}, got {length}")
    padded = np.full((length, int(sizes[0]), *data.shape[1:]), padding_value, data.dtype)
    start = 0
    for moment, size in enumerate(sizes):
        padded[moment, :size] = data[start:start + size]
        start += int(size)
    lengths = np.array([(sizes > number).sum() for number in range(int(sizes[0]))], np.int64)
    if packed.unsorted_indices is not None:
        padded, lengths = padded[:, packed.unsorted_indices], lengths[packed.unsorted_indices]
    return (padded.swapaxes(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences: Sequence[ArrayLike], batch_first: bool = False, padding_value: float = 0.0) -> Array:
    """Arrays (L, ...) of different L as one array (longest, N, ...), or (N, longest, ...) if `batch_first`."""
    arrays = [float_array(each, "sequences") for each in sequences]
    if not arrays or any(each.ndim == 0 or each.shape[1:] != arrays[0].shape[1:] for each in arrays):
        raise ShapeError("Expected `sequences` whose shapes differ in the first size only, got "
                         f"{[each.shape for each in arrays]}")
    shape = (len(arrays), max(map(len, arrays)), *arrays[0].shape[1:])
    padded = np.full(shape, number(padding_value, "padding_value"), arrays[0].dtype)
    for at, each in enumerate(arrays):
        padded[at, :len(each)] = each
    return padded if batch_first else padded.swapaxes(0, 1)


def pack_sequence(sequences: Sequence[ArrayLike], enforce_sorted: bool = True) -> PackedSequence:
    """Packs arrays (L, ...) of different L."""
    return pack_padded_sequence(pad_sequence(sequences), np.array([len(np.asarray(each)) for each in sequences]),
                                enforce_sorted=enforce_sorted)

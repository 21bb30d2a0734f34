"""Largest absolute value along axes."""
from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from .. import _kernels

__all__ = ["reduce_amax"]


def reduce_amax(input: Tensor, axis: int | Iterable[int] | None = None, keepdims: bool = True) -> Tensor:
    """Largest absolute value over some axes, or over all of them, cut off from gradients. A NaN wins over every number.

    Args:
        input: floats or integers, any shape.
        axis: the axis or axes to reduce; None for all, negative ones count from the end.
        keepdims: keep the reduced axes with length 1. As in the original, a result of one element is 0-d all the
            same, unless `axis` is a single integer; and with `keepdims=False` and several axes every axis of length 1
            goes, reduced or not.

    Raises:
        IndexError: there is no such axis, or it is empty.
        ValueError: a tuple of more axes than `input` has.
        RuntimeError: a reduction of nothing.
        TypeError: `input` is not a tensor of numbers.
    """
    return _kernels.amax(_kernels.checked(input, "input"), axis, keepdims)

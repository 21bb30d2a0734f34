"""Tensors as NumPy arrays and back, on the same memory.

A tensor on the CPU becomes an array without a copy, whatever its strides; bfloat16 goes by ml_dtypes' type of that
name. A tensor on another device is copied.
"""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["as_array", "as_tensor", "memory_order"]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def as_array(tensor: Tensor) -> NDArray[Any]:
    """The values of a tensor, cut off from gradients. TypeError for a type that NumPy does not have."""
    values = tensor.detach().cpu().resolve_neg()
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16).numpy().view(BFLOAT16)
    return values.numpy()


def as_tensor(array: NDArray[Any], device: torch.device | None = None) -> Tensor:
    """The array, which must be writable, as a tensor on the CPU, or a copy of it on another `device`."""
    if array.dtype == BFLOAT16:
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    return tensor if device is None else tensor.to(device)


def memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The permutation of axes that makes a tensor contiguous; None if there is none (gaps, repeated elements)."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tuple(order) if tensor.permute(order).is_contiguous() else None

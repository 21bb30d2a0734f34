"""Tensors as NumPy arrays and back, on the same memory.

A tensor on the CPU becomes an array without a copy, whatever its strides; bfloat16 goes by ml_dtypes' type of that
name. A tensor on another device is copied.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["as_array", "as_tensor", "memory_order", "untraced"]

P = ParamSpec("P")
R = TypeVar("R")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def _noticed(made: Any) -> Any:
    """A result after a step that the tracer sees: otherwise it takes it for a constant with a gradient, and refuses."""
    return made.detach() if isinstance(made, Tensor) else made


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose inner steps a tracer (torch.jit.trace, the TorchScript exporter) does not see."""
    tracer: Any = torch._C

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        state = tracer._get_tracing_state()
        if state is None:
            return function(*args, **kwargs)
        tracer._set_tracing_state(None)
        try:
            made: Any = function(*args, **kwargs)
        finally:
            tracer._set_tracing_state(state)
        seen: Any = tuple(map(_noticed, made)) if isinstance(made, tuple) else _noticed(made)
        return cast(R, seen)
    return call


@untraced
def as_array(tensor: Tensor) -> NDArray[Any]:
    """The values of a tensor, cut off from gradients. TypeError for a type that NumPy does not have."""
    values = tensor.detach().cpu().resolve_neg()
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16).numpy().view(BFLOAT16)
    return values.numpy()


def as_tensor(array: NDArray[Any], device: torch.device | None = None) -> Tensor:
    """The array, which must be writable, as a tensor on the CPU, or a copy of it on another `device`.

    torch has no byte-swapped tensors: such an array is copied.
    """
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype == BFLOAT16:
        tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    return tensor if device is None else tensor.to(device)


def memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The permutation of axes that makes a tensor contiguous; None if there is none (gaps, repeated elements)."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tuple(order) if tensor.permute(order).is_contiguous() else None

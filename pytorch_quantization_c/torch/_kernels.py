"""The C kernels on tensors: each call goes to `_C` for tensors on the CPU and to the plain formulas for all others."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from .. import _C
from .._core.errors import is_raised_in_python
from ..utils.reduce_amax import reduce_amax as reduce_array
from . import _formulas
from ._convert import as_array, as_tensor, memory_order, untraced

__all__ = ["amax", "checked", "e4m3", "fake_affine", "fake_quantize", "operand", "quantize", "straight_through"]


def checked(value: Any, name: str) -> Tensor:
    """The tensor that `value` has to be. TypeError otherwise."""
    if not isinstance(value, Tensor):
        raise TypeError(f"Expected `{name}` to be a tensor, got {type(value).__name__}")
    return value


def operand(value: Any, name: str, like: Tensor) -> Tensor:
    """An amax or another bound as a tensor of floats; numbers, lists and arrays become one beside `like`."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else value.float()
    try:
        if hasattr(value, "__array__") and not isinstance(value, np.ndarray | np.generic):
            value = np.asarray(value)  # torch would not ask
        made = torch.as_tensor(value, device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected `{name}` to be a number, a list or a tensor, got {type(value).__name__}") from None
    return made if made.dtype == torch.float64 and like.dtype == torch.float64 else made.float()


def in_c(*tensors: Tensor | None) -> bool:
    """Whether the C code can read and make such tensors: plain ones, dense, in the computer's own memory."""
    return all(each is None or each.is_cpu and type(each) in (Tensor, Parameter) and each.layout == torch.strided
               for each in tensors)


def _in_memory_order(run: Callable[..., NDArray[Any]], x: Tensor, *others: Tensor) -> Tensor:
    """`run` on arrays, element by element; a tensor that is dense in another order than its axes' keeps its layout."""
    order = None if x.is_contiguous() or any(each.dim() not in (0, x.dim()) for each in others) else memory_order(x)
    if order is None:
        return as_tensor(run(as_array(x), *map(as_array, others)))
    moved = [as_array(each.permute(order) if each.dim() else each) for each in (x, *others)]
    back = sorted(range(len(order)), key=order.__getitem__)
    return as_tensor(run(*moved)).permute(back)


def fake_quantize(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool) -> Tensor:
    """See `tensor_quant.fake_tensor_quant`."""
    if not in_c(x, amax):
        return _formulas.fake_quantize(x, amax, num_bits, unsigned, narrow_range)
    return _in_memory_order(lambda a, b: _C.fake_quant(a, b, num_bits, unsigned, narrow_range), x, amax)


def quantize(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool) -> tuple[Tensor, Tensor]:
    """See `tensor_quant.tensor_quant`."""
    if not in_c(x, amax):
        return _formulas.quantize(x, amax, num_bits, unsigned, narrow_range)
    outputs, scale = _C.quantize(as_array(x), as_array(amax), num_bits, unsigned, narrow_range)
    return as_tensor(outputs), as_tensor(scale)


def e4m3(x: Tensor, amax: Tensor | float | None) -> Tensor:
    """See `tensor_quant.scaled_e4m3`. With a Python number the scale is 448 / amax, rounded once, as there."""
    bound = amax if isinstance(amax, Tensor) else None
    if not in_c(x, bound):
        return _formulas.e4m3(x, amax)
    if bound is not None:
        return _in_memory_order(_C.e4m3, x, bound)
    return _in_memory_order(lambda values: _C.e4m3(values, amax), x)


def fake_affine(x: Tensor, low: Tensor, high: Tensor, num_bits: int) -> Tensor:
    """See `tensor_quant.fake_affine_tensor_quant`."""
    if not in_c(x, low, high):
        return _formulas.fake_affine(x, low, high, num_bits)
    return _in_memory_order(lambda a, b, c: _C.fake_affine(a, b, c, num_bits), x, low, high)


def straight_through(x: Tensor, amax: Tensor, grad: Tensor) -> Tensor:
    """`grad` where |x| <= amax, else 0."""
    if not in_c(x, amax, grad):
        return _formulas.straight_through(x, amax, grad)
    return _in_memory_order(lambda a, b, c: _C.ste(a, c, b), x, grad, amax)


@untraced
def amax(x: Tensor, axis: int | Iterable[int] | None, keepdims: bool = True) -> Tensor:
    """See `utils.reduce_amax`."""
    if in_c(x) and x.numel():
        return as_tensor(reduce_array(as_array(x), axis, keepdims))
    largest = x.detach().abs()
    if axis is None:
        return largest.max()
    if isinstance(axis, int):
        return largest.amax(axis, keepdim=keepdims)
    axes = tuple(axis)
    if isinstance(axis, tuple) and len(axes) > x.dim():
        raise ValueError(f"Cannot reduce more axes than tensor's dim: got {len(axes)} for shape {tuple(x.shape)}")
    largest = largest.amax(axes, keepdim=True) if axes else largest
    return largest.squeeze() if not keepdims or largest.numel() == 1 else largest

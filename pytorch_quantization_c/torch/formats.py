"""Low-bit number formats on tensors: the functions of `pytorch_quantization_c.formats`, with gradients.

Tensors on the CPU are computed by the C kernels; those of other devices are copied there and back.
"""
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .. import formats as array_formats
from .._core.block_quant import expanded_amax
from .._core.blocks import Blocks, checked_blocks
from .._core.descriptor import ScaledQuantDescriptor
from .._core.element_codes import pack_codes, scale_codes, scale_values, unpack_codes
from .._core.formats import E2M1, E2M3, E3M2, E4M3, E5M2, Float, Int
from .._core.quantization import Quantization
from . import _kernels
from ._convert import as_array, as_tensor, untraced
from ._kernels import checked, operand
from .tensor_quant import _straight_through

__all__ = [
    "E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "FakeBlockQuantFunction", "FakeRangeQuantFunction", "Float", "Int",
    "Quantization", "ScaledFloatFunction", "dequantize", "fake_block_quant", "fake_range_quant", "from_ggml",
    "pack_codes", "quantize", "scale_codes", "scale_values", "scaled_float", "to_ggml", "unpack_codes",
]


def _floats(inputs: Any) -> Tensor:
    x = checked(inputs, "inputs")
    if not x.is_floating_point():
        raise TypeError(f"Expected `inputs` to be a tensor of floats, got {x.dtype}")
    return x


def _on_arrays(function: Callable[..., Any], x: Tensor, *others: Tensor | None) -> Tensor:
    """What `function` makes of the tensors as arrays, as a tensor beside `x`."""
    arrays = [None if each is None else as_array(each) for each in others]
    return as_tensor(function(as_array(x), *arrays), None if x.is_cpu else x.device)


class ScaledFloatFunction(Function):
    """Rounds to small floats after scaling amax to the largest of them; see `formats.scaled_float` of NumPy.

    `ScaledFloatFunction.apply(inputs, amax, E, M)`, also `scaled_float`. Gradients pass where |inputs| <= amax.
    """

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, amax: Any, E: int, M: int) -> Tensor:
        """See the class; saves inputs and amax."""
        x = _floats(inputs)
        bound = operand(amax, "amax", x)
        ctx.save_for_backward(x, bound)
        if E == 4 and M == 3:
            return _kernels.e4m3(x, bound)
        return _on_arrays(lambda values, limit: array_formats.scaled_float(values, limit, E, M), x, bound)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where |inputs| <= amax, else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None


class FakeBlockQuantFunction(Function):
    """Quantises and dequantises in blocks along the last axis; see `formats.fake_block_quant` of NumPy.

    `FakeBlockQuantFunction.apply(inputs, num_bits, block_sizes, amax=None, unsigned=False, narrow_range=False,
    scale_amax=None)`, also `fake_block_quant`. Gradients pass straight through; with an amax, where |inputs| is not
    above that of the element.
    """

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, num_bits: Any, block_sizes: Any, amax: Any = None, unsigned: bool = False,
                narrow_range: bool = False, scale_amax: float | None = None) -> Tensor:
        """See the class; saves inputs and amax."""
        x, blocks = _floats(inputs), checked_blocks(block_sizes)
        bound = None if amax is None else operand(amax, "amax", x)
        if blocks is None:
            raise TypeError("Expected `block_sizes` to be a dict as {-1: 32}, got None")
        limit = None if bound is None else _limit(x, blocks, bound, scale_amax)
        ctx.limited = limit is not None
        if limit is not None:
            ctx.save_for_backward(x, limit)
        return _on_arrays(lambda values, each: array_formats._fake_in_blocks(
            values, num_bits, blocks, each, unsigned, narrow_range, scale_amax), x, bound)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through, where there is an amax only within it."""
        grad = _straight_through(ctx, grad_outputs) if ctx.limited else grad_outputs
        return grad, None, None, None, None, None, None


def _limit(x: Tensor, blocks: Blocks, amax: Tensor, scale_amax: float | None) -> Tensor | None:
    """What each element of `x` is compared with."""
    limit = expanded_amax(as_array(x), blocks, as_array(amax))
    if limit is None:
        return None
    return as_tensor(limit if scale_amax is None else np.asarray(limit * np.float32(scale_amax)), x.device)


class FakeRangeQuantFunction(Function):
    """Quantises and dequantises by an asymmetric range; see `formats.fake_range_quant` of NumPy.

    `FakeRangeQuantFunction.apply(inputs, amin, amax, num_bits=8)`, also `fake_range_quant`. Gradients pass where
    amin <= inputs <= amax.
    """

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, amin: Any, amax: Any, num_bits: int = 8) -> Tensor:
        """See the class; saves inputs and range."""
        x = _floats(inputs)
        low, high = operand(amin, "amin", x), operand(amax, "amax", x)
        ctx.save_for_backward(x, low, high)
        return _on_arrays(lambda a, b, c: array_formats.fake_range_quant(a, b, c, num_bits), x, low, high)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where amin <= inputs <= amax, else 0."""
        inputs, low, high = ctx.saved_tensors
        inside = (inputs <= high) & (inputs >= low)
        return torch.where(inside, grad_outputs, grad_outputs.new_zeros(())), None, None, None


scaled_float: Callable[..., Tensor] = ScaledFloatFunction.apply
fake_block_quant: Callable[..., Tensor] = FakeBlockQuantFunction.apply
fake_range_quant: Callable[..., Tensor] = FakeRangeQuantFunction.apply


def quantize(inputs: Tensor, quant_desc: ScaledQuantDescriptor, amax: Any = None,
             amin: Any = None) -> tuple[Tensor, Quantization]:
    """The codes of a tensor, one a byte, and what they stand for; see `formats.quantize` of NumPy.

    Returns:
        `(codes, quantization)`, a tensor of int8, or uint8, and a `Quantization` of NumPy arrays.
    """
    x = _floats(inputs)
    high, low = (None if each is None else as_array(operand(each, name, x))
                 for each, name in ((amax, "amax"), (amin, "amin")))
    codes, quantization = array_formats.quantize(as_array(x), quant_desc, high, low)
    return as_tensor(codes, None if x.is_cpu else x.device), quantization


def dequantize(codes: Tensor, quantization: Quantization) -> Tensor:
    """The values of codes, a float32 tensor of their shape; see `formats.dequantize` of NumPy."""
    return _on_arrays(lambda each: array_formats.dequantize(each, quantization), checked(codes, "codes"))


def to_ggml(name: str, inputs: Tensor) -> Tensor:
    """A tensor as blocks of a ggml type, uint8; see `formats.to_ggml` of NumPy."""
    return _on_arrays(lambda x: array_formats.to_ggml(name, x), _floats(inputs))


def from_ggml(name: str, blocks: Tensor) -> Tensor:
    """The numbers of blocks of a ggml type, float32; see `formats.from_ggml` of NumPy."""
    return _on_arrays(lambda each: array_formats.from_ggml(name, each), checked(blocks, "blocks"))

"""Quantisation of tensors: descriptors, and the five functions as torch.autograd.Functions.

All arithmetic is done in float32 (float64 for float64 tensors); the output has the type of the input. On the CPU it is
the C kernels of the NumPy package that compute, without a copy of the data.
"""
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .._core.descriptor import (
    QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL,
    QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW,
    QUANT_DESC_8BIT_PER_TENSOR,
    QUANT_DESC_UNSIGNED_8BIT_PER_TENSOR,
    QuantDescriptor,
    ScaledQuantDescriptor,
)
from .._core.errors import UnsupportedFormatError, shown
from .._core.format_descriptors import (
    QUANT_DESC_8BIT_AFFINE_PER_TENSOR,
    QUANT_DESC_FP8_E5M2_PER_TENSOR,
    QUANT_DESC_FP8_PER_TENSOR,
    QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT,
    QUANT_DESC_INT4_GROUPS_OF_64_WEIGHT,
    QUANT_DESC_INT4_GROUPS_OF_128_WEIGHT,
    QUANT_DESC_MXFP4,
    QUANT_DESC_MXFP6,
    QUANT_DESC_MXFP6_E2M3,
    QUANT_DESC_MXFP8,
    QUANT_DESC_MXFP8_E5M2,
    QUANT_DESC_MXINT8,
    QUANT_DESC_NVFP4_INPUT,
    QUANT_DESC_NVFP4_WEIGHT,
)
from .._core.formats import E4M3
from . import _kernels, _onnx, cuda_ext
from ._convert import untraced
from ._kernels import checked, operand

__all__ = [
    "QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL", "QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL",
    "QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL", "QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL",
    "QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL", "QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL",
    "QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW", "QUANT_DESC_8BIT_PER_TENSOR", "QUANT_DESC_UNSIGNED_8BIT_PER_TENSOR",
    "QUANT_DESC_8BIT_AFFINE_PER_TENSOR", "QUANT_DESC_FP8_E5M2_PER_TENSOR", "QUANT_DESC_FP8_PER_TENSOR",
    "QUANT_DESC_INT4_GROUPS_OF_128_WEIGHT", "QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT",
    "QUANT_DESC_INT4_GROUPS_OF_64_WEIGHT", "QUANT_DESC_MXFP4", "QUANT_DESC_MXFP6", "QUANT_DESC_MXFP6_E2M3",
    "QUANT_DESC_MXFP8", "QUANT_DESC_MXFP8_E5M2", "QUANT_DESC_MXINT8", "QUANT_DESC_NVFP4_INPUT",
    "QUANT_DESC_NVFP4_WEIGHT",
    "FakeAffineTensorQuantFunction", "FakeTensorQuantFunction", "LegacyFakeTensorQuantFunction", "QuantDescriptor",
    "ScaledE4M3Function", "ScaledQuantDescriptor", "TensorQuantFunction", "cuda_ext", "fake_affine_tensor_quant",
    "fake_tensor_quant", "legacy_fake_tensor_quant", "scaled_e4m3", "tensor_quant",
]

FLOAT16_MAX = 65504.0
TINY = 2.0 ** -24


class _StraightThrough(Function):
    """The gradient of quantisation as a function of its own, so that it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, amax: Tensor, grad_outputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, amax)
        return _kernels.straight_through(inputs, amax, grad_outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, _pass(*ctx.saved_tensors, grads[0])


_pass: Callable[..., Tensor] = _StraightThrough.apply


def _straight_through(ctx: Any, grad_outputs: Tensor) -> Any:
    return _pass(*ctx.saved_tensors, grad_outputs)


def _arguments(ctx: Any, inputs: Any, amax: Any) -> tuple[Tensor, Tensor]:
    """Inputs and amax as tensors, saved for the backward."""
    x = checked(inputs, "inputs")
    if x.is_complex():
        raise TypeError(f"Expected `inputs` to be a tensor of floats or integers, got {x.dtype}")
    bound = operand(amax, "amax", x)
    if bound.numel() != 1:
        _check_broadcast(x, bound)
    ctx.save_for_backward(x, bound)
    return x, bound


def _check_broadcast(inputs: Tensor, amax: Tensor) -> None:
    """RuntimeError, as torch's operators, for shapes that do not fit."""
    try:
        torch.broadcast_shapes(inputs.shape, amax.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise RuntimeError(f"Expected `amax` to broadcast with `inputs` of shape {tuple(inputs.shape)}, "
                           f"got shape {tuple(amax.shape)}") from None


def _check_float16_scale(amax: Tensor, num_bits: int, unsigned: bool) -> None:
    """ValueError if bound / amax of some channel is no float16; an amax that quantises to 0 does not count."""
    used = amax.detach().float()
    used = used[used > TINY]
    bound = 2.0 ** (num_bits - 1 + bool(unsigned)) - 1
    if used.numel() and bool(bound / used.min() > FLOAT16_MAX):
        raise ValueError(f"scale is too large for FP16 with amax={amax}")


class _NoContext:
    """Stands for the context of a Function where no gradient is wanted."""

    def save_for_backward(self, *tensors: Tensor) -> None:
        pass


@untraced
def _quantized(ctx: Any, inputs: Any, amax: Any, num_bits: int, unsigned: bool,
               narrow_range: bool) -> tuple[Tensor, Tensor]:
    x, bound = _arguments(ctx, inputs, amax)
    x = x if x.is_floating_point() else x.float()
    outputs, scale = _kernels.quantize(x, bound, num_bits, unsigned, narrow_range)
    if outputs.dtype == torch.float16:
        _check_float16_scale(bound, num_bits, unsigned)
    return outputs, scale


def _fake_quantized(ctx: Any, inputs: Any, amax: Any, num_bits: int, unsigned: bool, narrow_range: bool) -> Tensor:
    """Quantised and dequantised. As in the original, of integers by the scale in their own type."""
    x, bound = _arguments(ctx, inputs, amax)
    if x.is_floating_point():
        return _kernels.fake_quantize(x, bound, num_bits, unsigned, narrow_range)
    outputs, scale = _kernels.quantize(x.float(), bound, num_bits, unsigned, narrow_range)
    return outputs / scale.to(x.dtype)


def _tensor_quant(inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                  narrow_range: bool = True) -> tuple[Tensor, Tensor]:
    """`tensor_quant` without a gradient, the original's shared body of its functions."""
    return _quantized(_NoContext(), inputs, amax, num_bits, unsigned, narrow_range)


def _fake_tensor_quant_backward(inputs: Tensor, amax: Any, grad_outputs: Tensor) -> Tensor:
    """`grad_outputs` where |inputs| <= amax, else 0."""
    return _kernels.straight_through(checked(inputs, "inputs"), operand(amax, "amax", inputs), grad_outputs)


def _onnx_int8_helper(g: Any, inputs: Any, amax: Any, num_bits: int, unsigned: bool, narrow_range: bool) -> Any:
    """The QuantizeLinear and DequantizeLinear nodes for the TorchScript exporter."""
    return _onnx.integer_symbolic(g, inputs, amax, num_bits, unsigned, narrow_range)


class TensorQuantFunction(Function):
    """Quantises to integers, which stay in the floating type of the input; `outputs / scale` dequantises.

    `TensorQuantFunction.apply(inputs, amax, num_bits=8, unsigned=False, narrow_range=True)`, also `tensor_quant`:
    integers `clamp(rint(inputs * scale))` and the scale `bound / amax`.

    Args:
        inputs: a tensor of float16, bfloat16, float32 or float64, any shape; integers are taken as float32.
        amax: largest absolute value, >= 0: a number, or a tensor of any shape that broadcasts with `inputs`.
        num_bits: 0 to 32; `bound` is 2^(num_bits - 1) - 1, unsigned 2^num_bits - 1.
        unsigned: from 0 to bound, for inputs that are not negative.
        narrow_range: signed from -bound, else from -bound - 1.

    Returns:
        `(outputs, scale)`, both of the type of `inputs`, scale in the shape of amax. An amax up to 2^-24 gives
        outputs 0 and scale 1; a NaN amax gives NaN, in its own channel alone.

    Raises:
        TypeError: inputs are no tensor of real numbers; negative inputs with `unsigned` (unless a NaN is among them).
        ValueError: negative amax, bits out of range, one signed bit, or a scale beyond the largest float16 for float16
            inputs.
        RuntimeError: shapes that do not broadcast.
    """

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                 narrow_range: bool = True) -> Any:
        """The QuantizeLinear and DequantizeLinear nodes for the TorchScript exporter."""
        return _onnx.integer_symbolic(g, inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def forward(ctx: Any, inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> tuple[Tensor, Tensor]:
        """See the class; saves inputs and amax."""
        outputs, scale = _quantized(ctx, inputs, amax, num_bits, unsigned, narrow_range)
        ctx.mark_non_differentiable(scale)
        return outputs, scale

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor, grad_scale: Tensor | None) -> Any:
        """Straight through where |inputs| <= amax, else 0. The scale passes no gradient."""
        return _straight_through(ctx, grad_outputs), None, None, None, None


class FakeTensorQuantFunction(Function):
    """Quantises and dequantises at once: `clamp(rint(inputs * scale)) / scale` with the scale `bound / amax`.

    Arguments and errors are those of `TensorQuantFunction`, save that a scale beyond float16 is no error.
    """

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                 narrow_range: bool = True) -> Any:
        """The QuantizeLinear and DequantizeLinear nodes for the TorchScript exporter."""
        return _onnx.integer_symbolic(g, inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> Tensor:
        """See the class; saves inputs and amax."""
        return _fake_quantized(ctx, inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where |inputs| <= amax, else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None, None


class LegacyFakeTensorQuantFunction(Function):
    """The same as FakeTensorQuantFunction; the original kept two implementations."""

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, amax: Any, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> Tensor:
        """See the class; saves inputs and amax."""
        return _fake_quantized(ctx, inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where |inputs| <= amax, else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None, None


class FakeAffineTensorQuantFunction(Function):
    """Quantises and dequantises with a scale and a zero point (gemmlowp's scheme).

    `(clamp(rint(inputs / step) - zero) + zero) * step` with `step = (max_range - min_range) / (2^num_bits - 1)`. The
    range is two numbers or tensors that broadcast with `inputs`.
    """

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, min_range: Any, max_range: Any, num_bits: int = 8) -> Tensor:
        """See the class; saves inputs and range."""
        x = checked(inputs, "inputs")
        low, high = operand(min_range, "min_range", x), operand(max_range, "max_range", x)
        ctx.save_for_backward(x, low, high)
        return _kernels.fake_affine(x, low, high, num_bits)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where min_range <= inputs <= max_range, else 0."""
        inputs, low, high = ctx.saved_tensors
        inside = (inputs <= high) & (inputs >= low)
        return torch.where(inside, grad_outputs, grad_outputs.new_zeros(())), None, None, None


class ScaledE4M3Function(Function):
    """Rounds to the 8-bit floats E4M3 after scaling amax to 448, the largest of them.

    `e4m3(inputs * scale) / scale` with the scale `(1 / amax) * 448`, or 1 without amax. Rounds to nearest even,
    saturates at 448, keeps NaN; |inputs| < 2^-24 gives 0. UnsupportedFormatError for other bits than E=4 and M=3.
    """

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: Any = None, E: int = 4, M: int = 3) -> Any:
        """The 8-bit float nodes for the TorchScript exporter: TensorRT's, or the standard's on request."""
        _check_format(E, M)
        return _onnx.e4m3_symbolic(g, inputs, amax)

    @staticmethod
    @untraced
    def forward(ctx: Any, inputs: Any, amax: Any = None, E: int = 4, M: int = 3) -> Tensor:
        """See the class; saves inputs and amax."""
        _check_format(E, M)
        x, bound = _arguments(ctx, inputs, E4M3.bound if amax is None else amax)
        return _kernels.e4m3(x, amax if amax is None or isinstance(amax, int | float) else bound)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> Any:
        """Straight through where |inputs| <= amax (448 without one), else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None


def _check_format(E: int, M: int) -> None:
    if E != 4 or M != 3:
        raise UnsupportedFormatError(f"Expected E=4 and M=3, got E={shown(E)} and M={shown(M)}")


tensor_quant: Callable[..., tuple[Tensor, Tensor]] = TensorQuantFunction.apply
legacy_fake_tensor_quant: Callable[..., Tensor] = LegacyFakeTensorQuantFunction.apply
fake_tensor_quant: Callable[..., Tensor] = FakeTensorQuantFunction.apply
fake_affine_tensor_quant: Callable[..., Tensor] = FakeAffineTensorQuantFunction.apply
scaled_e4m3: Callable[..., Tensor] = ScaledE4M3Function.apply

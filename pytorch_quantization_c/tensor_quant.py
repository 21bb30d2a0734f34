"""Quantisation of arrays: descriptors, and the five functions with their Function classes.

All arithmetic is done in C, in float32 (float64 for float64 arrays); the output has the type of the input.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _C, cuda_ext
from ._arrays import inside_gradient
from ._core.descriptor import (
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
from ._core.errors import UnsupportedFormatError, shown
from ._core.format_descriptors import (
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
from ._core.formats import E4M3
from ._core.onnx import e4m3_symbolic, int8_symbolic
from ._function import Function, FunctionCtx

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
    "FakeAffineTensorQuantFunction", "FakeTensorQuantFunction", "Function", "FunctionCtx",
    "LegacyFakeTensorQuantFunction", "QuantDescriptor", "ScaledE4M3Function", "ScaledQuantDescriptor",
    "TensorQuantFunction", "cuda_ext", "fake_affine_tensor_quant", "fake_tensor_quant", "legacy_fake_tensor_quant",
    "scaled_e4m3", "tensor_quant",
]

FLOAT16_MAX = 65504.0
TINY = 2.0 ** -24


def _check_float16_scale(amax: Any, num_bits: int, unsigned: bool) -> None:
    """ValueError if bound / amax of some channel is no float16; an amax that quantises to 0 does not count."""
    used = np.asarray(amax).astype(np.float32)
    used = used[used > TINY]
    bound = np.float32(2.0 ** (num_bits - 1 + bool(unsigned)) - 1)
    if used.size and bound / used.min() > FLOAT16_MAX:
        raise ValueError(f"scale is too large for FP16 with amax={amax}")


def _quantize(inputs: ArrayLike, amax: ArrayLike, num_bits: int, unsigned: bool,
              narrow_range: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    outputs, scale = _C.quantize(inputs, amax, num_bits, unsigned, narrow_range)
    if outputs.dtype == np.float16:
        _check_float16_scale(amax, num_bits, unsigned)
    return outputs, scale


def _straight_through(ctx: FunctionCtx, grad_outputs: ArrayLike) -> NDArray[Any]:
    inputs, amax = ctx.saved_tensors
    return _C.ste(inputs, amax, grad_outputs)


class TensorQuantFunction(Function):
    """Quantises to integers, which stay in the floating type of the input; `outputs / scale` dequantises."""

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                 narrow_range: bool = True) -> Any:
        """The QuantizeLinear and DequantizeLinear nodes, added by `g.op`."""
        return int8_symbolic(g, inputs, np.asarray(amax), num_bits, unsigned, narrow_range)

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `apply`; saves inputs and amax."""
        ctx.save_for_backward(inputs, amax)
        return _quantize(inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike,
                 grad_scale: ArrayLike | None) -> tuple[NDArray[Any], None, None, None, None]:
        """Straight through where |inputs| <= amax, else 0. The scale passes no gradient."""
        return _straight_through(ctx, grad_outputs), None, None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
              narrow_range: bool = True) -> tuple[NDArray[Any], NDArray[Any]]:
        """Integers `clamp(rint(inputs * scale))` and the scale `bound / amax`.

        Args:
            inputs: float16, bfloat16, float32 or float64, any shape; lists and numbers become float32.
            amax: largest absolute value, >= 0: a number, or any shape that broadcasts with `inputs`.
            num_bits: 0 to 32; `bound` is 2^(num_bits - 1) - 1, unsigned 2^num_bits - 1.
            unsigned: from 0 to bound, for inputs that are not negative.
            narrow_range: signed from -bound, else from -bound - 1.

        Returns:
            `(outputs, scale)`, both of the type of `inputs`, scale in the shape of amax. An amax up to 2^-24 gives
            outputs 0 and scale 1; a NaN amax gives NaN, in its own channel alone.

        Raises:
            TypeError: inputs are not floats; negative inputs with `unsigned` (unless there is a NaN among them).
            ValueError: negative amax, shapes that do not broadcast, bits out of range, one signed bit, or a scale
                beyond the largest float16 for float16 inputs.
        """
        return _quantize(inputs, amax, num_bits, unsigned, narrow_range)


class FakeTensorQuantFunction(Function):
    """Quantises and dequantises at once."""

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                 narrow_range: bool = True) -> Any:
        """The QuantizeLinear and DequantizeLinear nodes, added by `g.op`."""
        return int8_symbolic(g, inputs, np.asarray(amax), num_bits, unsigned, narrow_range)

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> NDArray[Any]:
        """See `apply`; saves inputs and amax."""
        ctx.save_for_backward(inputs, amax)
        return _C.fake_quant(inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None, None]:
        """Straight through where |inputs| <= amax, else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
              narrow_range: bool = True) -> NDArray[Any]:
        """`clamp(rint(inputs * scale)) / scale` with the scale `bound / amax`.

        Args:
            inputs: float16, bfloat16, float32 or float64, any shape; lists and numbers become float32.
            amax: largest absolute value, >= 0: a number, or any shape that broadcasts with `inputs`.
            num_bits: 0 to 32; `bound` is 2^(num_bits - 1) - 1, unsigned 2^num_bits - 1.
            unsigned: from 0 to bound, for inputs that are not negative.
            narrow_range: signed from -bound, else from -bound - 1.

        Returns:
            An array of the shape and type of `inputs`. An amax up to 2^-24 gives 0, a NaN amax NaN in its own channel.

        Raises:
            TypeError: inputs are not floats; negative inputs with `unsigned` (unless there is a NaN among them).
            ValueError: negative amax, shapes that do not broadcast, bits out of range, one signed bit.
        """
        return _C.fake_quant(inputs, amax, num_bits, unsigned, narrow_range)


class LegacyFakeTensorQuantFunction(Function):
    """The same as FakeTensorQuantFunction; the original kept two implementations."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> NDArray[Any]:
        """See `apply`; saves inputs and amax."""
        ctx.save_for_backward(inputs, amax)
        return _C.fake_quant(inputs, amax, num_bits, unsigned, narrow_range)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None, None]:
        """Straight through where |inputs| <= amax, else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
              narrow_range: bool = True) -> NDArray[Any]:
        """`fake_tensor_quant` under its older name."""
        return _C.fake_quant(inputs, amax, num_bits, unsigned, narrow_range)


class FakeAffineTensorQuantFunction(Function):
    """Quantises and dequantises with a scale and a zero point (gemmlowp's scheme)."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, min_range: ArrayLike, max_range: ArrayLike,
                num_bits: int = 8) -> NDArray[Any]:
        """See `apply`; saves inputs and range."""
        ctx.save_for_backward(inputs, min_range, max_range)
        return _C.fake_affine(inputs, min_range, max_range, num_bits)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None]:
        """Straight through where min_range <= inputs <= max_range, else 0."""
        return inside_gradient(ctx.saved_tensors, ("inputs", "min_range", "max_range"), grad_outputs), None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, min_range: ArrayLike, max_range: ArrayLike, num_bits: int = 8) -> NDArray[Any]:
        """`(clamp(rint(inputs / step) - zero) + zero) * step` with `step = (max_range - min_range) / (2^num_bits - 1)`.

        Args:
            inputs: as for `tensor_quant`.
            min_range, max_range: the range, numbers or shapes that broadcast with `inputs`.
            num_bits: bits of the signed integers in between.

        Raises:
            TypeError: inputs are not floats.
            ValueError: shapes that do not broadcast, bits out of range.
        """
        return _C.fake_affine(inputs, min_range, max_range, num_bits)


def _check_format(E: int, M: int) -> None:
    if E != 4 or M != 3:
        raise UnsupportedFormatError(f"Expected E=4 and M=3, got E={shown(E)} and M={shown(M)}")


class ScaledE4M3Function(Function):
    """Rounds to the 8-bit floats E4M3 after scaling amax to 448, the largest of them."""

    @staticmethod
    def symbolic(g: Any, inputs: Any, amax: ArrayLike | None = None, E: int = 4, M: int = 3) -> Any:
        """TensorRT's FP8 quantise and dequantise nodes, added by `g.op`."""
        _check_format(E, M)
        return e4m3_symbolic(g, inputs, amax)

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amax: ArrayLike | None = None, E: int = 4,
                M: int = 3) -> NDArray[Any]:
        """See `apply`; saves inputs and amax."""
        ctx.save_for_backward(inputs, E4M3.bound if amax is None else amax)
        return ScaledE4M3Function.apply(inputs, amax, E, M)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None]:
        """Straight through where |inputs| <= amax (448 without one), else 0."""
        return _straight_through(ctx, grad_outputs), None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amax: ArrayLike | None = None, E: int = 4, M: int = 3) -> NDArray[Any]:
        """`e4m3(inputs * scale) / scale` with the scale `(1 / amax) * 448`, or 1 without amax.

        Rounds to nearest even, saturates at 448, keeps NaN; |inputs| < 2^-24 gives 0.

        Args:
            inputs: as for `tensor_quant`.
            amax: None, a number, or any shape that broadcasts with `inputs`.
            E, M: bits of exponent and mantissa; 4 and 3 is all there is.

        Raises:
            UnsupportedFormatError: another E or M.
            TypeError: inputs are not floats.
            ValueError: shapes that do not broadcast.
        """
        _check_format(E, M)
        return _C.e4m3(inputs, amax)


tensor_quant = TensorQuantFunction.apply
legacy_fake_tensor_quant = LegacyFakeTensorQuantFunction.apply
fake_tensor_quant = FakeTensorQuantFunction.apply
fake_affine_tensor_quant = FakeAffineTensorQuantFunction.apply
scaled_e4m3 = ScaledE4M3Function.apply

"""Low-bit number formats: fake and real quantisation beyond integers with one amax.

Small floats, blocks of neighbours that share a scale (OCP's microscaling formats, NVFP4, integers in groups), and
asymmetric ranges. A descriptor asks for them (`QuantDescriptor(num_bits, block_sizes=..., zero_point=...)`), a
`TensorQuantizer` or a function here does the work; a `Quantization` says what codes stand for.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _C
from ._arrays import check_broadcast, float_array, inside_gradient, number_array
from ._core import block_quant
from ._core.axes import axes_to_reduce
from ._core.block_quant import expanded_amax
from ._core.blocks import Blocks, checked_blocks
from ._core.descriptor import ScaledQuantDescriptor
from ._core.element_codes import pack_codes, scale_codes, scale_values, unpack_codes
from ._core.errors import shown
from ._core.formats import E2M1, E2M3, E3M2, E4M3, E5M2, Float, Int, number_format
from ._core.ggml import from_ggml, to_ggml
from ._core.quantization import Quantization
from ._function import Function, FunctionCtx
from .utils import reduce_amax

__all__ = [
    "E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "FakeBlockQuantFunction", "FakeRangeQuantFunction", "Float", "Int",
    "Quantization", "ScaledFloatFunction", "dequantize", "fake_block_quant", "fake_range_quant", "from_ggml",
    "pack_codes", "quantize", "scale_codes", "scale_values", "scaled_float", "to_ggml", "unpack_codes",
]


class ScaledFloatFunction(Function):
    """Rounds to small floats after scaling amax to the largest of them."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amax: ArrayLike, E: int, M: int) -> NDArray[Any]:
        """See `apply`; saves inputs and amax."""
        ctx.save_for_backward(inputs, amax)
        return ScaledFloatFunction.apply(inputs, amax, E, M)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None]:
        """Straight through where |inputs| <= amax, else 0."""
        inputs, amax = ctx.saved_tensors
        return _C.ste(inputs, amax, grad_outputs), None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amax: ArrayLike, E: int, M: int) -> NDArray[Any]:
        """`nearest(inputs * scale) / scale` with the scale `(1 / amax) * largest`, each step in float32.

        Rounds to nearest even and saturates; NaN stays NaN. An amax whose scale is infinite gives 0. Of E4M3 alone,
        |inputs| < 2^-24 gives 0, as `tensor_quant.scaled_e4m3` has it.

        Args:
            inputs: float16, bfloat16, float32 or float64, any shape; lists and numbers become float32.
            amax: largest absolute value, >= 0: a number, or any shape that broadcasts with `inputs`.
            E, M: bits of exponent and mantissa: 5 and 2, 4 and 3, 3 and 2, 2 and 3, or 2 and 1.

        Returns:
            An array of the shape and type of `inputs`.

        Raises:
            TypeError: inputs are not floats, E or M no integers.
            ValueError: another format, a negative amax, shapes that do not broadcast.
        """
        if E == 4 and M == 3:
            return _C.e4m3(inputs, np.asarray(number_array(amax, "amax")))
        return _C.float_quant(inputs, amax, E, M)


def _format_of(num_bits: int | tuple[int, int], unsigned: bool, narrow_range: bool, blocks: Blocks,
               scale_amax: float | None) -> Int | Float:
    descriptor = ScaledQuantDescriptor(num_bits, unsigned=unsigned, narrow_range=narrow_range, block_sizes=blocks,
                                       scale_amax=scale_amax)
    return number_format(descriptor.num_bits, descriptor.unsigned, descriptor.narrow_range)


def _needed(block_sizes: Any) -> Blocks:
    blocks = checked_blocks(block_sizes)
    if blocks is None:
        raise TypeError("Expected `block_sizes` to be a dict as {-1: 32}, got None")
    return blocks


def _refuse_amax(blocks: Blocks, amax: Any) -> None:
    if amax is not None and blocks.ignores_amax:
        raise ValueError(f"Expected no `amax` beside dynamic `block_sizes`, whose ranges are those of each array, got "
                         f"{shown(amax)}")


def _amax_array(amax: ArrayLike | None) -> NDArray[np.float32] | None:
    if amax is None:
        return None
    with np.errstate(over="ignore"):
        array = np.asarray(number_array(amax, "amax"), np.float32)
    if (array < 0).any():
        raise ValueError(f"Expected `amax` >= 0, got {array.min()}")
    return array


def _fake_in_blocks(inputs: ArrayLike, num_bits: int | tuple[int, int], block_sizes: Any, amax: ArrayLike | None,
                    unsigned: bool, narrow_range: bool, scale_amax: float | None = None) -> NDArray[Any]:
    blocks = _needed(block_sizes)
    format = _format_of(num_bits, unsigned, narrow_range, blocks, scale_amax)
    _refuse_amax(blocks, amax)
    return block_quant.fake_blocks(float_array(inputs, "inputs"), format, blocks, _amax_array(amax), scale_amax)


class FakeBlockQuantFunction(Function):
    """Quantises and dequantises at once, in blocks along the last axis that share a scale."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, num_bits: int | tuple[int, int], block_sizes: Any,
                amax: ArrayLike | None = None, unsigned: bool = False, narrow_range: bool = False,
                scale_amax: float | None = None) -> NDArray[Any]:
        """See `apply`; saves inputs and amax."""
        x = float_array(inputs, "inputs")
        values = FakeBlockQuantFunction.apply(x, num_bits, block_sizes, amax, unsigned, narrow_range, scale_amax)
        limit = expanded_amax(x, _needed(block_sizes), _amax_array(amax))
        if limit is not None and scale_amax is not None:
            limit = np.asarray(limit * np.float32(scale_amax))
        ctx.save_for_backward(x, limit)
        return values

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any] | None, ...]:
        """Straight through; with an amax only where |inputs| is not above that of the element, else 0."""
        inputs, amax = ctx.saved_tensors
        grad = float_array(grad_outputs, "grad_outputs")
        return (np.array(grad) if amax is None else _C.ste(inputs, amax, grad), *[None] * 6)

    @staticmethod
    def apply(inputs: ArrayLike, num_bits: int | tuple[int, int], block_sizes: Any, amax: ArrayLike | None = None,
              unsigned: bool = False, narrow_range: bool = False, scale_amax: float | None = None) -> NDArray[Any]:
        """The values that a quantiser with `block_sizes` gives.

        Without "scale_bits" each block is quantised as `fake_tensor_quant` or `scaled_float` do with its amax. With
        (8, 0) the scale is 2^(floor(log2(amax of the block)) - exponent of the largest element), exponents within
        +-127, and the values are `element(x / scale) * scale` (OCP Microscaling Formats 1.0; integers of b bits are
        multiples of 2^(2 - b)). With (4, 3), `g = amax / (largest * 448)`,
        `s = e4m3((amax of the block / largest) / g)`, values `element(x / (s * g)) * (s * g)`, 0 where s is 0. Elements
        round to nearest even and saturate; a block with a NaN is NaN.

        Args:
            inputs: float16, bfloat16, float32 or float64, (..., n); lists become float32.
            num_bits, block_sizes, unsigned, narrow_range, scale_amax: see QuantDescriptor.
            amax: None: the ranges of `inputs`. With (4, 3) one number, the range of the whole array; if static, and
                without "scale_bits", one for each block, or what broadcasts to that; else if dynamic, None alone.

        Returns:
            An array of the shape and type of `inputs`.

        Raises:
            TypeError: inputs are not floats; `block_sizes` is not a dict.
            ValueError: `inputs` without axes, a negative amax or one of another shape, arguments that a descriptor
                refuses.
        """
        return _fake_in_blocks(inputs, num_bits, block_sizes, amax, unsigned, narrow_range, scale_amax)


def _end(value: ArrayLike, name: str) -> NDArray[Any]:
    """An end of a range, in its own precision."""
    array = np.asarray(number_array(value, name))
    if (array > 0 if name == "amin" else array < 0).any():
        raise ValueError(f"Expected `{name}` {'<=' if name == 'amin' else '>='} 0, got "
                         f"{array.max() if name == 'amin' else array.min()}")
    return array


class FakeRangeQuantFunction(Function):
    """Quantises and dequantises at once, by an asymmetric range."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: ArrayLike, amin: ArrayLike, amax: ArrayLike,
                num_bits: int = 8) -> NDArray[Any]:
        """See `apply`; saves inputs and range."""
        ctx.save_for_backward(inputs, amin, amax)
        return FakeRangeQuantFunction.apply(inputs, amin, amax, num_bits)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_outputs: ArrayLike) -> tuple[NDArray[Any], None, None, None]:
        """Straight through where amin <= inputs <= amax, else 0."""
        return inside_gradient(ctx.saved_tensors, ("inputs", "amin", "amax"), grad_outputs), None, None, None

    @staticmethod
    def apply(inputs: ArrayLike, amin: ArrayLike, amax: ArrayLike, num_bits: int = 8) -> NDArray[Any]:
        """`(clamp(rint(inputs * scale) + zero, 0, levels) - zero) / scale` with `levels = 2^num_bits - 1`.

        `scale = levels / (amax - amin)` in float32 and `zero = rint(-amin * scale)`: 0 is always representable. A width
        up to 2^-24 gives 0. NaN stays NaN.

        Args:
            inputs: float16, bfloat16, float32 or float64, any shape; lists and numbers become float32.
            amin, amax: the ends of the range, amin <= 0 and amax >= 0: numbers or shapes that broadcast with `inputs`.
            num_bits: 2 to 16.

        Returns:
            An array of the shape and type of `inputs`.

        Raises:
            TypeError: inputs are not floats.
            ValueError: an end on the other side of 0, shapes that do not broadcast, bits out of range.
        """
        descriptor = ScaledQuantDescriptor(num_bits, zero_point=True)
        x, low, high = float_array(inputs, "inputs"), _end(amin, "amin"), _end(amax, "amax")
        check_broadcast(inputs=x, amin=low, amax=high)
        format = number_format(descriptor.num_bits, True)
        assert isinstance(format, Int)
        return block_quant.fake_affine(x, low, high, format)


scaled_float = ScaledFloatFunction.apply
fake_block_quant = FakeBlockQuantFunction.apply
fake_range_quant = FakeRangeQuantFunction.apply


def quantize(inputs: ArrayLike, quant_desc: ScaledQuantDescriptor,
             amax: ArrayLike | None = None, amin: ArrayLike | None = None) -> tuple[NDArray[Any], Quantization]:
    """The codes of an array, one a byte, and what they stand for; `dequantize` has the bits of fake quantisation.

    Args:
        inputs: float16, bfloat16, float32 or float64, computed in float32; lists become float32.
        quant_desc: how to quantise: integers of at most 8 bits or small floats, one axis at most.
        amax, amin: the range; by default the descriptor's, or that of `inputs`. `amin` is for `zero_point` alone,
            where both ends are needed.

    Returns:
        `(codes, quantization)`. Codes are int8, or uint8 for floats and unsigned integers, in the shape of `inputs`.
        `pack_codes` puts codes of fewer bits side by side, `scale_codes` the shared scales of blocks into bytes.

    Raises:
        TypeError: `quant_desc` is not a descriptor, inputs are not floats or negative with `unsigned`.
        ValueError: more than 8 bits, several axes, a NaN that no code stands for, a range of another
            shape, one that the descriptor does not use, or only one end.
    """
    if not isinstance(quant_desc, ScaledQuantDescriptor):
        raise TypeError(f"Expected `quant_desc` to be a QuantDescriptor, got {type(quant_desc).__name__}")
    format = number_format(quant_desc.num_bits, quant_desc.unsigned, quant_desc.narrow_range)
    if isinstance(format, Int) and not 1 < format.bits <= 8:
        raise ValueError(f"Expected `num_bits` of 2 to 8, got {format.bits}")
    x = float_array(inputs, "inputs")
    high = _amax_array(quant_desc.amax if amax is None else amax)
    given = quant_desc.amin if amin is None else amin
    low = None if given is None else _end(given, "amin")
    _check_range(quant_desc, low, high)
    if quant_desc.blocks is not None:
        return block_quant.quantize_blocks(x, format, quant_desc.blocks, high, quant_desc.scale_amax)
    return _by_axis(x, format, quant_desc, low, high)


def _check_range(quant_desc: ScaledQuantDescriptor, low: Any, high: Any) -> None:
    if low is not None and not quant_desc.zero_point:
        raise ValueError(f"Expected `amin` with `zero_point` alone, got {shown(low)}")
    if quant_desc.zero_point and (low is None) != (high is None):
        raise ValueError(f"Expected `amin` and `amax` together with `zero_point`, got "
                         f"{'`amax`' if low is None else '`amin`'} alone")
    if quant_desc.blocks is not None:
        _refuse_amax(quant_desc.blocks, high)


def _by_axis(x: NDArray[Any], format: Int | Float, quant_desc: ScaledQuantDescriptor, low: NDArray[np.float32] | None,
             high: NDArray[np.float32] | None) -> tuple[NDArray[Any], Quantization]:
    axis = quant_desc.axis
    if isinstance(axis, tuple | list):
        if len(axis) != 1:
            raise ValueError(f"Expected one `axis` at most, got {shown(axis)}")
        axis = axis[0]
    factor = np.float32(1 if quant_desc.scale_amax is None else quant_desc.scale_amax)
    axes = axes_to_reduce(axis, x.shape)
    if quant_desc.zero_point:
        assert isinstance(format, Int)
        ends = _ends(x, axes) if low is None or high is None else (low, high)
        return block_quant.affine_quantize(x, ends[0] * factor, ends[1] * factor, format, axis)
    if high is None:
        high = reduce_amax(x, axes) if x.size else np.zeros((), np.float32)
    amax = np.asarray(high, np.float32) * factor
    if isinstance(format, Float):
        return block_quant.float_quantize(x, amax, format, axis)
    return block_quant.integer_quantize(x, amax, format, axis)


def _ends(x: NDArray[Any], axes: list[int] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    if not x.size:
        return np.zeros((), np.float32), np.zeros((), np.float32)
    reduced = None if axes is None else tuple(axes)
    zero, kept = x.dtype.type(0), axes is not None
    return (np.asarray(np.min(x, axis=reduced, keepdims=kept, initial=zero), np.float32),
            np.asarray(np.max(x, axis=reduced, keepdims=kept, initial=zero), np.float32))


def dequantize(codes: NDArray[Any], quantization: Quantization) -> NDArray[np.float32]:
    """The values of codes, float32 in their shape; see `Quantization.dequantize`.

    TypeError for other types; ValueError if the scales do not fit the shape.
    """
    if not isinstance(quantization, Quantization):
        raise TypeError(f"Expected `quantization` to be a Quantization, got {type(quantization).__name__}")
    return quantization.dequantize(codes)

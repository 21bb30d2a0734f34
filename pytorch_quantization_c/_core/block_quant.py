"""Block and asymmetric quantisation: fake and real, on NumPy arrays.

Both fronts call these; see `blocks` for the words and `quantization` for what comes out.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .blocks import Blocks
from .element_codes import encode
from .errors import ShapeError
from .formats import E4M3, Float, Int
from .quantization import Quantization

__all__ = ["affine_parameters", "affine_quantize", "block_amax", "blocked", "codes_of", "expanded_amax", "fake_affine",
           "fake_blocks", "fake_float", "float_quantize", "integer_quantize", "quantize_blocks"]

Array = NDArray[Any]
TINY = np.float32(2.0 ** -24)       # up to here a range counts as zero


def blocked(x: Array, size: int) -> Array:
    """(..., n) as (..., blocks, size), zeros at the end of a last block that is shorter. ShapeError without axes."""
    if x.ndim == 0:
        raise ShapeError("Expected an input that has the axis -1, which blocks lie along, got shape ()")
    length = x.shape[-1]
    blocks = -(-length // size)
    if blocks * size != length:
        padded = np.zeros((*x.shape[:-1], blocks * size), x.dtype)
        padded[..., :length] = x
        x = padded
    return x.reshape(*x.shape[:-1], blocks, size)


def _unblocked(y: Array, like: Array) -> Array:
    whole = y.reshape(*y.shape[:-2], -1)
    return whole if whole.shape == like.shape else np.ascontiguousarray(whole[..., :like.shape[-1]])


def block_amax(x: Array, size: int) -> NDArray[np.float32]:
    """The largest magnitude of each block of `size` along the last axis, (..., blocks); NaN where there is one."""
    rows = blocked(x, size)
    if not rows.size:
        return np.zeros(rows.shape[:-1], np.float32)
    with np.errstate(over="ignore"):
        return _C.amax(rows, (rows.ndim - 1,), False).astype(np.float32)


def _block_ranges(amax: Array, x: Array, blocks: Blocks) -> NDArray[np.float32]:
    """A fixed amax as one number for each block."""
    shape = (*x.shape[:-1], -(-x.shape[-1] // blocks.size))
    try:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(amax, np.float32), shape))
    except ValueError:
        raise ShapeError(f"Expected `amax` of shape {shape}, one for each block, got {np.shape(amax)}") from None


def _elements(format: Int | Float) -> tuple[int, int, int, int]:
    """exponent, mantissa, lo, hi for `_C.block_quant`."""
    if isinstance(format, Float):
        return format.exponent, format.mantissa, 0, 0
    return 0, format.bits, format.low, format.bound


def _shared(x: Array, format: Int | Float, blocks: Blocks, amax: Array | None, scale_amax: float | None,
            elements: bool) -> tuple[Array, NDArray[np.float32], np.float32]:
    """(values or elements, scales, scale of the whole array) of an array of float32 or float64."""
    assert blocks.scale_bits is not None
    if x.ndim == 0:
        raise ShapeError("Expected an input that has the axis -1, which blocks lie along, got shape ()")
    factor = np.float32(1 if scale_amax is None else scale_amax)
    whole = np.float32(0)
    if blocks.has_global and blocks.is_dynamic and amax is not None and amax.size != 1:
        raise ShapeError(f"Expected `amax` of one element, the range of the whole array, got shape {amax.shape}")
    if blocks.has_global:
        whole = np.float32(_C.amax(x, None, False) if amax is None else np.max(amax, initial=0)) * factor
    fixed = amax if amax is not None and not blocks.is_dynamic and (amax.size != 1 or not blocks.has_global) else None
    each = None
    if fixed is not None or scale_amax is not None:
        found = block_amax(x, blocks.size) if fixed is None else _block_ranges(fixed, x, blocks)
        each = np.asarray(found * factor, np.float32)
    y, scales = _C.block_quant(x, blocks.size, *_elements(format), blocks.scale_bits[0], float(whole), each, elements)
    if not blocks.has_global:
        return y, scales, np.float32(1)
    return y, scales, whole / (np.float32(format.bound) * np.float32(E4M3.bound))


def _wide(x: Array) -> Array:
    return x if x.dtype.char in "fd" and x.dtype.isnative else x.astype(np.float64 if x.dtype.char == "d"
                                                                         else np.float32)


def _group_ranges(x: Array, blocks: Blocks, amax: Array | None, scale_amax: float | None) -> NDArray[np.float32]:
    found = block_amax(x, blocks.size) if amax is None or blocks.is_dynamic else _block_ranges(amax, x, blocks)
    return found if scale_amax is None else np.asarray(found * np.float32(scale_amax), np.float32)


def fake_blocks(x: Array, format: Int | Float, blocks: Blocks, amax: Array | None = None,
                scale_amax: float | None = None) -> Array:
    """`x` quantised and dequantised in blocks along its last axis, in its own type.

    Args:
        x: float16, bfloat16, float32 or float64; halves are computed in float32 and rounded once.
        format: of the elements; integers of 2 to 8 bits if the scales have few bits.
        blocks: sizes and scales.
        amax: None: found. Of NVFP4 one number, the range of the whole array; else one for each block, or what
            broadcasts to that.
        scale_amax: a factor on every amax.

    Raises:
        ShapeError: an array without axes, an amax of another shape.
    """
    if blocks.scale_bits is None:
        ranges = _group_ranges(x, blocks, amax, scale_amax)[..., None]
        rows = blocked(x, blocks.size)
        if isinstance(format, Float):
            return _unblocked(fake_float(rows, ranges, format), x)
        return _unblocked(_C.fake_quant(rows, ranges, format.bits, format.unsigned, format.narrow), x)
    y = _shared(_wide(x), format, blocks, amax, scale_amax, elements=False)[0]
    with np.errstate(over="ignore"):
        return y.astype(x.dtype.newbyteorder("="), copy=False)


def quantize_blocks(x: Array, format: Int | Float, blocks: Blocks, amax: Array | None = None,
                    scale_amax: float | None = None) -> tuple[Array, Quantization]:
    """The codes of `x`, one a byte, and what they stand for; arguments as of `fake_blocks`."""
    narrow = np.asarray(_wide(x), np.float32)
    if blocks.scale_bits is not None:
        elements, scales, whole = _shared(narrow, format, blocks, amax, scale_amax, elements=True)
        if isinstance(format, Int):
            elements = np.nan_to_num(elements, copy=False)
        return encode(elements, format), Quantization(format, -1, blocks.size, scales, None, blocks.scale_bits, whole)
    ranges = _group_ranges(narrow, blocks, amax, scale_amax)
    codes, scale = _real(blocked(narrow, blocks.size), ranges[..., None], format)
    return _unblocked(codes, narrow), Quantization(format, -1, blocks.size, scale.reshape(ranges.shape))


def fake_float(x: Array, amax: Array, format: Float) -> Array:
    """Rounded to floats after scaling amax to the largest: `nearest(x * s) / s`, `s = (1 / amax) * bound`."""
    if format == E4M3:
        return _C.e4m3(x, amax)
    return _C.float_quant(x, amax, format.exponent, format.mantissa)


def _real(x: Array, amax: Array, format: Int | Float) -> tuple[Array, NDArray[np.float32]]:
    """Codes of a float32 array and the scales in the shape of amax; a NaN is refused where no code is one."""
    amax = np.asarray(amax, np.float32)
    if isinstance(format, Int):
        values, scale = _C.quantize(x, amax, format.bits, format.unsigned, format.narrow)
        _refuse_nan(values, format)
        return encode(values, format), np.asarray(scale)
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.asarray(np.float32(1) / amax * np.float32(format.bound), np.float32)
        infinite = np.isinf(scale)
        scaled = np.where(infinite, np.float32(0), x * np.where(infinite, np.float32(1), scale)).astype(np.float32)
    if format == E4M3:
        scaled = np.where(np.abs(x) < TINY, np.float32(0), scaled)
    elements = _C.float_quant(scaled, np.float32(format.bound), format.exponent, format.mantissa)
    if format.nan_code is None:
        _refuse_nan(elements, format)
    return encode(elements, format), scale


def _refuse_nan(values: Array, format: Int | Float) -> None:
    if np.isnan(values).any():
        raise ValueError(f"Expected `inputs` and `amax` without NaN, for which {format} has no code")


def float_quantize(x: Array, amax: Array, format: Float, axis: int | None) -> tuple[Array, Quantization]:
    """The codes of `x`, uint8, and what they stand for; amax has one element for each index of `axis`."""
    codes, scale = _real(np.asarray(_wide(x), np.float32), amax, format)
    return codes, Quantization(format, axis, None, scale.reshape(-1))


def integer_quantize(x: Array, amax: Array, format: Int, axis: int | None) -> tuple[Array, Quantization]:
    """The codes of `x`, int8 or uint8, and what they stand for; amax has one element for each index of `axis`."""
    codes, scale = _real(np.asarray(_wide(x), np.float32), amax, format)
    return codes, Quantization(format, axis, None, scale.reshape(-1))


def affine_parameters(amin: Array, amax: Array, format: Int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(scale, zero) that map the range from min(amin, 0) to max(amax, 0) onto all codes.

    `scale = (2^bits - 1) / width` in float32, 1 if the width is at most 2^-24; `zero = low + rint(-amin * scale)`.
    """
    low = np.minimum(np.asarray(amin, np.float32), np.float32(0))
    high = np.maximum(np.asarray(amax, np.float32), np.float32(0))
    levels = np.float32(2 ** format.bits - 1)
    with np.errstate(all="ignore"):
        width = high - low
        usable = ~(width <= TINY)
        scale = np.where(usable, levels / width, np.float32(1)).astype(np.float32)
        point = np.clip(np.rint(-low * scale), 0, levels)
    return scale, (format.low + np.where(np.isnan(point) | ~usable, 0, point)).astype(np.int32)


def _shifted(x: Array, amin: Array, amax: Array, format: Int, fake: bool) -> Array:
    scale, zero = affine_parameters(amin, amax, format)
    low, high = np.asarray(amin, np.float32), np.asarray(amax, np.float32)
    flat = np.maximum(high, 0) - np.minimum(low, 0) <= TINY
    mul = np.where(flat, np.float32(0), scale).astype(np.float32)
    return _C.shifted_quant(x, mul, (zero - format.low).astype(np.float32), 2 ** format.bits - 1, fake)


def fake_affine(x: Array, amin: Array, amax: Array, format: Int) -> Array:
    """`(clamp(rint(x * scale) + zero) - zero) / scale` by `affine_parameters`, in the type of x.

    Raises:
        ValueError: shapes that do not broadcast.
    """
    return _shifted(x, amin, amax, format, fake=True)


def affine_quantize(x: Array, amin: Array, amax: Array, format: Int, axis: int | None) -> tuple[Array, Quantization]:
    """The codes of `x`, int8 or uint8, and what they stand for."""
    narrow = np.asarray(_wide(x), np.float32)
    shifted = _shifted(narrow, amin, amax, format, fake=False)
    _refuse_nan(shifted, format)
    scale, zero = affine_parameters(amin, amax, format)
    codes = encode(np.asarray(shifted + zero.astype(np.float32), np.float32), format)
    return codes, Quantization(format, axis, None, scale.reshape(-1), zero.reshape(-1))


def expanded_amax(x: Array, blocks: Blocks, amax: Array | None) -> NDArray[np.float32] | None:
    """A fixed amax as one that broadcasts with `x`, to compare elements with; None where there is none."""
    if amax is None or blocks.ignores_amax:
        return None
    amax = np.asarray(amax, np.float32)
    if amax.size == 1:
        return amax.reshape(())
    if blocks.is_dynamic:
        return np.asarray(amax.max(initial=0), np.float32)
    each = _block_ranges(amax, x, blocks)
    return np.ascontiguousarray(np.repeat(each, blocks.size, -1)[..., :x.shape[-1]])


def codes_of(x: Array, format: Int | Float, blocks: Blocks | None, axis: int | None, amin: Array | None,
             amax: Array | None, scale_amax: float | None) -> tuple[Array, Quantization]:
    """Real quantisation of what is not an integer with one amax: blocks, two ends, or small floats."""
    if blocks is not None:
        return quantize_blocks(x, format, blocks, amax, scale_amax)
    assert amax is not None
    if isinstance(format, Float):
        return float_quantize(x, amax, format, axis)
    assert amin is not None
    return affine_quantize(x, amin, amax, format, axis)

"""Codes of elements and of shared scales as bytes, and packed at their own bit width."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._arrays import float_array
from .errors import shown
from .formats import E4M3, Float, Int

__all__ = ["encode", "pack_codes", "scale_codes", "scale_values", "unpack_codes", "values_of"]

E8M0_BIAS, E8M0_NAN = 127, 255


@functools.cache
def values_of(format: Int | Float) -> NDArray[np.float32]:
    """The value of each of 256 codes, of a format of at most 8 bits; codes beyond its bits repeat."""
    codes = np.arange(256, dtype=np.uint8)
    if isinstance(format, Int):
        integers: NDArray[np.float32] = (codes if format.unsigned else codes.view(np.int8)).astype(np.float32)
        integers.setflags(write=False)
        return integers
    sign = np.where(codes >> (format.bits - 1) & 1, -1.0, 1.0)
    field = codes >> format.mantissa & (1 << format.exponent) - 1
    mantissa = (codes & (1 << format.mantissa) - 1) / 2.0 ** format.mantissa
    size = np.where(field == 0, mantissa, 1 + mantissa)
    values = sign * np.ldexp(size, np.maximum(field.astype(np.int32), 1) - 1 + format.lowest_exponent)
    if format.nan_code is not None:
        top = codes & 0x7f
        values[top >= format.nan_code] = np.nan
        if format.exponent == 5:
            values[top == 0x7c], values[top == 0x7d] = np.inf * sign[top == 0x7c], np.nan
    found: NDArray[np.float32] = values.astype(np.float32)
    found.setflags(write=False)
    return found


def encode(elements: NDArray[np.float32], format: Int | Float) -> NDArray[Any]:
    """The codes of numbers that the format has: uint8 of floats and unsigned integers, int8 of signed ones."""
    if isinstance(format, Float):
        return _C.encode(elements, format.exponent, format.mantissa)
    return elements.astype(np.uint8 if format.unsigned else np.int8)


def scale_codes(scale: NDArray[np.float32], scale_bits: tuple[int, int]) -> NDArray[np.uint8]:
    """Shared scales as bytes: E8M0 for (8, 0), exponents with a bias of 127 and NaN as 255; E4M3 for (4, 3).

    `scale` is an array of numbers that the format has, float32. TypeError for others, ValueError for other
    `scale_bits`.
    """
    given = np.asarray(float_array(scale, "scale"), np.float32)
    if _checked_scale(scale_bits) == E4M3.num_bits:
        return _C.encode(given, 4, 3)
    mantissa, exponent = np.frexp(given)
    return np.where(np.isnan(mantissa), E8M0_NAN, exponent - 1 + E8M0_BIAS).astype(np.uint8)


def scale_values(codes: NDArray[np.uint8], scale_bits: tuple[int, int]) -> NDArray[np.float32]:
    """What `scale_codes` coded, float32. TypeError for anything but bytes; ValueError for other `scale_bits`."""
    codes = _checked_codes(codes, 8)
    if _checked_scale(scale_bits) == E4M3.num_bits:
        values: NDArray[np.float32] = values_of(E4M3)[codes]
        return values
    with np.errstate(over="ignore"):
        scale = np.ldexp(np.float32(1), codes.astype(np.int32) - E8M0_BIAS)
    return np.where(codes == E8M0_NAN, np.float32(np.nan), scale).astype(np.float32)


def pack_codes(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """The low `bits` bits of each code side by side along the last axis, the first code lowest; zeros fill the end.

    Args:
        codes: int8 or uint8, (..., n).
        bits: 1 to 8.

    Returns:
        uint8, (..., ceil(n * bits / 8)). With 4 bits a byte holds two codes, the first in its low half.

    Raises:
        TypeError: another type of codes or of `bits`. ValueError: no axis, bits out of range.
    """
    array = _checked_codes(codes, bits)
    if array.ndim == 0:
        raise ValueError("Expected `codes` with at least one axis, got none")
    if bits == 8:
        return array.copy()
    if bits == 4:
        padded = np.zeros((*array.shape[:-1], array.shape[-1] + array.shape[-1] % 2), np.uint8)
        padded[..., :array.shape[-1]] = array & 15
        return np.asarray(padded[..., ::2] | padded[..., 1::2] << 4, np.uint8)
    each = np.unpackbits(array[..., None], axis=-1, count=bits, bitorder="little")
    return np.asarray(np.packbits(each.reshape(*array.shape[:-1], -1), axis=-1, bitorder="little"), np.uint8)


def unpack_codes(packed: NDArray[np.uint8], bits: int, length: int, signed: bool = False) -> NDArray[Any]:
    """The `length` codes along the last axis that `pack_codes` packed: uint8, or int8 if `signed`.

    TypeError for anything but uint8; ValueError for another length than fits, bits out of range.
    """
    array = _checked_codes(packed, bits)
    if isinstance(length, bool) or not isinstance(length, int | np.integer):
        raise TypeError(f"Expected `length` to be an integer, got {shown(length)}")
    if array.dtype != np.uint8 or array.ndim == 0 or length < 0 or array.shape[-1] != -(-int(length) * bits // 8):
        raise ValueError(f"Expected `packed` to be uint8 of {max(-(-int(length) * bits // 8), 0)} bytes along its last "
                         f"axis for {length} codes, got shape {array.shape}")
    if bits == 8:
        codes = array.copy()
    elif bits == 4:
        codes = np.stack([array & 15, array >> 4], axis=-1).reshape(*array.shape[:-1], -1)[..., :length]
    else:
        each = np.unpackbits(array, axis=-1, count=length * bits, bitorder="little")
        codes = np.packbits(each.reshape(*array.shape[:-1], length, bits), axis=-1, bitorder="little")[..., 0]
    if not signed:
        return np.ascontiguousarray(codes)
    shift = 8 - bits
    return (codes << shift).view(np.int8) >> shift if shift else codes.view(np.int8)


def _checked_scale(scale_bits: Any) -> tuple[int, int]:
    if scale_bits not in ((8, 0), (4, 3)):
        raise ValueError(f"Expected `scale_bits` to be (8, 0) or (4, 3), got {shown(scale_bits)}")
    return tuple(scale_bits)


def _checked_codes(codes: object, bits: object) -> NDArray[np.uint8]:
    if not isinstance(codes, np.ndarray) or codes.dtype not in (np.int8, np.uint8):
        raise TypeError(f"Expected an array of int8 or uint8, got {getattr(codes, 'dtype', type(codes).__name__)}")
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise TypeError(f"Expected `bits` to be an integer, got {shown(bits)}")
    if not 1 <= bits <= 8:
        raise ValueError(f"Expected `bits` >= 1 and <= 8, got {shown(bits)}")
    return np.ascontiguousarray(codes).view(np.uint8).reshape(codes.shape)

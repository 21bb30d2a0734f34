"""The blocks of ggml's files: Q4_0, Q8_0 and MXFP4, 32 numbers each, with the bytes of its reference quantisers."""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import float_array
from .element_codes import values_of
from .errors import shown
from .formats import E2M1

__all__ = ["from_ggml", "to_ggml"]

SIZE = 32  # numbers of a block
BYTES = {"q4_0": 18, "q8_0": 34, "mxfp4": 17}
HALF_BIAS = 127
# In the order in which the reference looks for the nearest, the first of equals.
FP4 = values_of(E2M1)[:16]


def _name(name: object) -> str:
    found = name.lower() if isinstance(name, str) else name
    if not isinstance(found, str) or found not in BYTES:
        raise ValueError(f"Expected `name` to be 'q4_0', 'q8_0' or 'mxfp4', got {shown(name)}")
    return found


def to_ggml(name: str, inputs: ArrayLike) -> NDArray[np.uint8]:
    """An array as blocks of a ggml type, byte for byte as its reference quantisers write them.

    Args:
        name: "q4_0", "q8_0" or "mxfp4", in any case.
        inputs: finite floats, (..., n), n a multiple of 32; computed in float32.

    Returns:
        uint8, (..., n / 32, bytes), with 18, 34 or 17 bytes a block. Q4_0 is a float16 d and 16 bytes of nibbles,
        number j low and number j + 16 high, of value (nibble - 8) * d; Q8_0 a float16 d and 32 int8 of value
        d * integer; MXFP4 an E8M0 exponent and nibbles of E2M1.

    Raises:
        TypeError: inputs are not floats. ValueError: another name, another length, NaN or infinities.
    """
    kind, x = _name(name), np.asarray(float_array(inputs, "inputs"), np.float32)
    if x.ndim == 0 or x.shape[-1] % SIZE:
        raise ValueError(f"Expected `inputs` whose last axis is a multiple of {SIZE}, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("Expected `inputs` without NaN and infinities")
    rows = x.reshape(*x.shape[:-1], -1, SIZE)
    head, codes = {"q4_0": _q4_0, "q8_0": _q8_0, "mxfp4": _mxfp4}[kind](rows)
    return np.concatenate([head, codes], axis=-1)


def _inverse(d: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d)


def _half(d: NDArray[np.float32]) -> NDArray[np.uint8]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(d.astype("<f2")).view(np.uint8)


def _nibbles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(codes[..., :SIZE // 2] | codes[..., SIZE // 2:] << 4, np.uint8)


def _q4_0(rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    at = np.argmax(np.abs(rows), axis=-1, keepdims=True)   # the first of the largest
    d = np.asarray(np.take_along_axis(rows, at, -1) / np.float32(-8), np.float32)
    codes = np.asarray(np.minimum(15, (rows * _inverse(d) + np.float32(8.5)).astype(np.int8)), np.uint8)
    return _half(d), _nibbles(codes)


def _q8_0(rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    d = np.asarray(np.abs(rows).max(-1, keepdims=True) / np.float32(127), np.float32)
    scaled = rows * _inverse(d)
    away = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    exact = np.where(np.abs(scaled - np.trunc(scaled)) < 0.5, np.trunc(scaled), away)   # halves go away from zero
    return _half(d), exact.astype(np.int8).view(np.uint8)


def _mxfp4(rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    amax = np.abs(rows).max(-1, keepdims=True)
    exponent = np.clip(np.frexp(amax)[1] - 1 - 2 + HALF_BIAS, 0, 254)
    exponent = np.where(amax > 0, exponent, 0)
    step = np.ldexp(np.float32(1), exponent - HALF_BIAS).astype(np.float32)
    codes = np.zeros(rows.shape, np.uint8)
    least = np.abs(rows - FP4[0] * step)
    for code in range(1, 16):
        error = np.abs(rows - FP4[code] * step)
        codes, least = np.where(error < least, np.uint8(code), codes), np.minimum(error, least)
    return exponent.astype(np.uint8), _nibbles(codes)


def from_ggml(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The numbers of blocks of a ggml type.

    Args:
        name: as of `to_ggml`.
        blocks: uint8, (..., blocks, bytes), as `to_ggml` returns them.

    Returns:
        float32, (..., blocks * 32).

    Raises:
        TypeError: `blocks` is not an array of uint8. ValueError: another name, blocks of another size.
    """
    kind = _name(name)
    if not isinstance(blocks, np.ndarray) or blocks.dtype != np.uint8:
        got = getattr(blocks, "dtype", type(blocks).__name__)
        raise TypeError(f"Expected `blocks` to be an array of uint8, got {got}")
    if blocks.ndim < 2 or blocks.shape[-1] != BYTES[kind]:
        raise ValueError(f"Expected `blocks` of shape (..., blocks, {BYTES[kind]}), got {blocks.shape}")
    head = 1 if kind == "mxfp4" else 2
    first, rest = np.ascontiguousarray(blocks[..., :head]), np.ascontiguousarray(blocks[..., head:])
    if kind == "q8_0":
        values = rest.view(np.int8).astype(np.float32)
    else:
        low, high = rest & 15, rest >> 4
        codes = np.concatenate([low, high], axis=-1)
        values = FP4[codes] if kind == "mxfp4" else codes.astype(np.float32) - np.float32(8)
    if kind == "mxfp4":
        step = np.ldexp(np.float32(1), first.astype(np.int32) - HALF_BIAS).astype(np.float32)
    else:
        step = first.view("<f2").astype(np.float32)
    return np.asarray(values * step, np.float32).reshape(*blocks.shape[:-2], -1)

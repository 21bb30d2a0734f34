"""Elements of few bits and blocks that share a scale, written down from the formats' own definitions."""
from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

FLOATS = {(5, 2): ml_dtypes.float8_e5m2, (4, 3): ml_dtypes.float8_e4m3fn, (3, 2): ml_dtypes.float6_e3m2fn,
          (2, 3): ml_dtypes.float6_e2m3fn, (2, 1): ml_dtypes.float4_e2m1fn}
LARGEST = {(5, 2): 57344.0, (4, 3): 448.0, (3, 2): 28.0, (2, 3): 7.5, (2, 1): 6.0}
TOP_EXPONENT = {(5, 2): 15, (4, 3): 8, (3, 2): 4, (2, 3): 2, (2, 1): 2}


def code_values(bits: Any) -> Any:
    """The values of all codes, by ml_dtypes."""
    return np.arange(2 ** (1 + sum(bits)), dtype=np.uint8).view(FLOATS[bits]).astype(np.float64)


def finite_sizes(bits: Any) -> Any:
    """The values that are not negative, in order: their index is their code."""
    values = code_values(bits)[:2 ** sum(bits)]
    return values[np.isfinite(values)]


def nearest(v: Any, bits: Any) -> Any:
    """float64 numbers to the nearest element, ties to the even code, saturating; NaN stays."""
    sizes = finite_sizes(bits)
    size = np.minimum(np.abs(v), sizes[-1])
    below = np.clip(np.searchsorted(sizes, size, side="right") - 1, 0, len(sizes) - 2)
    under, over = size - sizes[below], sizes[below + 1] - size
    code = below + ((over < under) | ((over == under) & (below % 2 == 1)))
    return np.where(np.isnan(v), np.nan, np.copysign(sizes[code], v))


def integer_element(v: Any, bits: int, narrow: bool) -> Any:
    top = 2 ** (bits - 1) - 1
    unit = 2.0 ** (2 - bits)
    return np.clip(np.rint(v / unit), -top if narrow else -top - 1, top) * unit


def blocks_of(x: Any, size: int) -> Any:
    """Index pairs of a flat row's blocks."""
    return [(at, min(at + size, x.shape[-1])) for at in range(0, x.shape[-1], size)]


def mx_scale(amax: float, top_exponent: int) -> float:
    """OCP Microscaling Formats 1.0, section 6.3, with exponents within +-127."""
    if math.isnan(amax):
        return math.nan
    if amax == 0:
        exponent = -127
    elif math.isinf(amax):
        exponent = 127
    else:
        exponent = math.floor(math.log2(amax)) - top_exponent
        if 2.0 ** (exponent + top_exponent) > amax:     # log2 rounded up
            exponent -= 1
    return 2.0 ** max(-127, min(127, exponent))


def mx(x: Any, bits: Any, size: int, narrow: bool = False, factor: float = 1) -> tuple[Any, Any]:
    """(values, scales) of a float32 array, block by block."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    y, scales = np.empty_like(rows), np.empty((len(rows), -(-x.shape[-1] // size)))
    for r, row in enumerate(rows):
        for b, (begin, end) in enumerate(blocks_of(row, size)):
            part = row[begin:end]
            top = TOP_EXPONENT[bits] if isinstance(bits, tuple) else 0
            scale = scales[r, b] = mx_scale(factor * np.abs(part).max(), top)
            with np.errstate(invalid="ignore"):
                inner = part / scale
                element = nearest(inner, bits) if isinstance(bits, tuple) else integer_element(inner, bits, narrow)
                y[r, begin:end] = element * scale
    with np.errstate(over="ignore"):
        return y.astype(np.float32).reshape(x.shape), scales.astype(np.float32).reshape(*x.shape[:-1], -1)


def nvfp4(x: Any, size: int = 16, amax: Any = None, bits: Any = (2, 1)) -> tuple[Any, Any, Any]:
    """(values, block scales, global scale): float32 step by step, as the format is defined."""
    one, largest = np.float32, np.float32(LARGEST[bits])
    with np.errstate(all="ignore"):
        whole = one(np.abs(x).max() if amax is None else amax) / one(largest * one(448))
        rows = x.reshape(-1, x.shape[-1])
        y, scales = np.empty_like(rows), np.empty((len(rows), -(-x.shape[-1] // size)), np.float32)
        for r, row in enumerate(rows):
            for b, (begin, end) in enumerate(blocks_of(row, size)):
                part = row[begin:end]
                ratio = one(one(np.abs(part).max()) / largest) / whole
                scale = one(nearest(np.float64(ratio), (4, 3))) if whole != 0 else one(0)
                scales[r, b] = scale
                if scale == 0:
                    y[r, begin:end] = 0
                    continue
                step = one(scale * whole)
                y[r, begin:end] = (one(0) * part if step == 0 else
                                   nearest((part / step).astype(np.float64), bits).astype(np.float32) * step)
    return y.reshape(x.shape), scales.reshape(*x.shape[:-1], -1), whole

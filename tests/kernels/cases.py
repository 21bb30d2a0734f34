"""Nasty numbers, and every elementwise kernel beside its formula in plain NumPy."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from pytorch_quantization_c import _C

from .. import oracle

DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16, np.float64)
SIZES = (*range(71), 95, 97, 127, 129, 255, 257, 1023, 1025, 4099)
SPECIALS = np.float64([
    0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1e-39, 2.0 ** -24, -(2.0 ** -24), 2.0 ** -25, 2.0 ** -10,
    3 * 2.0 ** -10, 0.5, -0.5, 1.5, -1.5, 2.5, 126.5, -127.5, 447.9, 448, 464, -464, 65504, 65520, -1e10, 3e38, -3e38,
])
LIMITS = np.float32([1.0, 0.0, 3.7, 448.0, 2.0 ** -24, 2.0 ** -20, np.inf, 0.25, np.nan, 1e-9, 1e30, 127.0])


def nasty(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    """Normal numbers of many magnitudes, a quarter of them replaced by special values."""
    x = rng.normal(size=shape) * np.exp2(rng.integers(-12, 9, shape))
    x = np.where(rng.random(shape) < 0.25, rng.choice(SPECIALS, shape), x)
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def same_bits(got: Any, wanted: Any) -> None:
    """Same type and shape, and numbers whose bits, the sign of zero too, are the same; NaN equals NaN."""
    oracle.same(got, wanted)
    got, wanted = np.asarray(got), np.asarray(wanted)
    zero = wanted == 0
    assert (np.signbit(got) == np.signbit(wanted))[zero].all(), "signs of zero differ"


def round_e4m3(v: Any) -> Any:
    """To E4M3 by its definition: the nearest multiple of the step of its binade, ties to even, 448 at most."""
    size = np.minimum(np.abs(v), 448)
    step = np.exp2(np.maximum(np.frexp(size)[1] - 1, -6) - 3.0).astype(size.dtype)
    return np.copysign(np.rint(size / step) * step, v)


def e4m3(x: Any, amax: Any = None) -> Any:
    work = oracle.floats(x)
    with np.errstate(all="ignore"):
        scale = np.float32(1) if amax is None else np.float32(1) / np.asarray(amax, np.float32) * np.float32(448)
        y = round_e4m3(work * scale) / scale
        return np.where(np.abs(work) < oracle.TINY, work.dtype.type(0), y).astype(np.asarray(x).dtype)


def limits(x: Any) -> Any:
    """An amax for every element of x."""
    return np.resize(LIMITS, np.shape(x))


def gradient(x: Any) -> Any:
    return np.resize(np.arange(1, 14), np.shape(x)).astype(x.dtype)


class Case(NamedTuple):
    name: str
    run: Callable[[Any], Any]
    expect: Callable[[Any], Any]


def _amax(value: float) -> Any:
    return np.float32(value)


CASES = (
    Case("fake 8 bits", lambda x: _C.fake_quant(x, _amax(3.7), 8, False, True),
         lambda x: oracle.integer(x, _amax(3.7))[1]),
    Case("fake 4 bits full range", lambda x: _C.fake_quant(x, _amax(0.7), 4, False, False),
         lambda x: oracle.integer(x, _amax(0.7), 4, False, False)[1]),
    Case("fake 16 bits tiny amax", lambda x: _C.fake_quant(x, _amax(2.0 ** -23), 16, False, True),
         lambda x: oracle.integer(x, _amax(2.0 ** -23), 16)[1]),
    Case("fake unsigned", lambda x: _C.fake_quant(np.abs(x), _amax(6.0), 8, True, True),
         lambda x: oracle.integer(np.abs(x), _amax(6.0), 8, True)[1]),
    Case("fake each", lambda x: _C.fake_quant(x, limits(x), 8, False, False),
         lambda x: oracle.integer(x, limits(x), 8, False, False)[1]),
    Case("quantize", lambda x: _C.quantize(x, _amax(1.0), 8, False, False)[0],
         lambda x: oracle.integer(x, _amax(1.0), 8, False, False)[0]),
    Case("quantize each", lambda x: _C.quantize(x, limits(x), 5, False, True)[0],
         lambda x: oracle.integer(x, limits(x), 5)[0]),
    Case("e4m3", lambda x: _C.e4m3(x), e4m3),
    Case("e4m3 amax", lambda x: _C.e4m3(x, _amax(3.7)), lambda x: e4m3(x, _amax(3.7))),
    Case("e4m3 each", lambda x: _C.e4m3(x, limits(x)), lambda x: e4m3(x, limits(x))),
    Case("ste", lambda x: _C.ste(x, _amax(1.5), gradient(x)), lambda x: oracle.ste(x, _amax(1.5), gradient(x))),
    Case("ste each", lambda x: _C.ste(x, limits(x), gradient(x)), lambda x: oracle.ste(x, limits(x), gradient(x))),
    Case("affine", lambda x: _C.fake_affine(x, _amax(-1.5), _amax(2.5), 8),
         lambda x: oracle.affine(x, _amax(-1.5), _amax(2.5), 8)),
)

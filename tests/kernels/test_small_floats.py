"""Every code and every midpoint of each element format against ml_dtypes, on every instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C
from pytorch_quantization_c._core.element_codes import values_of
from pytorch_quantization_c._core.formats import Float

from .cases import DTYPES, SPECIALS, nasty, same_bits
from .formats import FLOATS, LARGEST, TOP_EXPONENT, code_values, finite_sizes, nearest

FORMATS = list(FLOATS)


def elements(x: Any, bits: Any) -> Any:
    """Rounded to elements with a shared scale of 1."""
    amax = np.full((1, -(-len(x) // 64)), 2.0 ** TOP_EXPONENT[bits], np.float32)
    return _C.block_quant(x[None], 64, *bits, 0, 0, 8, 0.0, amax, True)[0][0]


@pytest.mark.parametrize("bits", FORMATS, ids=str)
def test_every_code_and_midpoint(isa: str, bits: Any) -> None:
    sizes = finite_sizes(bits).astype(np.float32)
    middle = (sizes[1:] + sizes[:-1]) / 2
    even = np.where(np.arange(len(middle)) % 2, sizes[1:], sizes[:-1])
    for sign in np.float32([1, -1]):
        same_bits(elements(sign * sizes, bits), sign * sizes)
        same_bits(elements(sign * middle, bits), sign * even)
        same_bits(elements(np.nextafter(sign * middle, np.float32(0)), bits), sign * sizes[:-1])
        same_bits(elements(np.nextafter(sign * middle, sign * np.float32(np.inf)), bits), sign * sizes[1:])
        over = sign * np.float32([LARGEST[bits] * 1.01, 1e30, np.inf, 2 * LARGEST[bits]])
        same_bits(elements(over, bits), np.full(4, sign * np.float32(LARGEST[bits])))


@pytest.mark.parametrize("bits", FORMATS, ids=str)
def test_codes_are_those_of_ml_dtypes(isa: str, bits: Any) -> None:
    values = code_values(bits).astype(np.float32)
    codes = np.arange(len(values), dtype=np.uint8)
    usable = np.isfinite(values)
    for start in range(3):      # tails of every length
        got = _C.encode(values[usable][start:], *bits)
        np.testing.assert_array_equal(got, codes[usable][start:])
    table = values_of(Float(*bits))
    same_bits(table[:len(values)], values)
    same_bits(_C.decode(codes[usable], table, np.float32([3.0]), len(codes)), values[usable] * np.float32(3))
    nan = Float(*bits).nan_code
    assert _C.encode(np.float32([np.nan]), *bits)[0] == (nan or 0)
    assert nan is None or np.isnan(values[nan])


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("bits", FORMATS[:1] + FORMATS[2:], ids=str)
def test_scaled_floats(isa: str, bits: Any, dtype: Any, rng: np.random.Generator) -> None:
    for amax in np.float32([1.0, 3.7, 1e-9, 57.25, 1e30, 0.0, 1e-42, np.nan]):
        x = nasty(rng, 531, dtype)
        work = x.astype(np.float64 if dtype == np.float64 else np.float32)
        with np.errstate(all="ignore"):
            scale = np.float32(1) / amax * np.float32(LARGEST[bits])
            inner = work * (np.float32(1) if np.isinf(scale) else scale)
            wanted = (nearest(inner.astype(np.float64), bits).astype(work.dtype) / scale).astype(dtype)
        same_bits(_C.float_quant(x, amax, *bits), wanted)


@pytest.mark.parametrize("bits", FORMATS[:1] + FORMATS[2:], ids=str)
def test_a_scale_for_each_channel(isa: str, bits: Any, rng: np.random.Generator) -> None:
    x = nasty(rng, (5, 33), np.float32)
    for shape in ((5, 1), (1, 33)):
        amax = np.abs(rng.normal(size=shape)).astype(np.float32)
        scale = np.float32(1) / amax * np.float32(LARGEST[bits])
        with np.errstate(all="ignore"):
            wanted = nearest((x * scale).astype(np.float64), bits).astype(np.float32) / scale
        same_bits(_C.float_quant(x, amax, *bits), wanted)


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected the float format .* got \(3, 4\)"):
        _C.float_quant(np.float32([1]), 1.0, 3, 4)
    with pytest.raises(ValueError, match="amax"):
        _C.float_quant(np.float32([1]), -1.0, 5, 2)
    assert SPECIALS.size

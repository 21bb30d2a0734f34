"""Blocks that share a scale against the formats' rules, on every instruction set and any number of threads."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import _C, formats, threads

from .cases import same_bits
from .formats import LARGEST, mx, nvfp4

MX: list[Any] = [(5, 2), (4, 3), (3, 2), (2, 3), (2, 1), 8, 4]
DYNAMIC = {-1: 32, "type": "dynamic", "scale_bits": (8, 0)}
NV = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}


def rows(rng: np.random.Generator) -> Any:
    """Blocks of every kind: ordinary, ties, subnormal, tiny, huge, zero, with an infinity, with a NaN."""
    x = rng.normal(size=(14, 70)).astype(np.float32) * np.exp2(rng.integers(-3, 4, (14, 70))).astype(np.float32)
    x[1] = np.resize(np.float32([6, 5, 2.5, 0.25, 0.75, -1.25, -5, 3.5, 1.75]), 70)
    x[2] = np.resize(np.float32([1e-45, -3e-45, 1e-40, 1e-39, 1.1754944e-38]), 70)
    x[3] = 0
    x[3, ::3] = -0.0
    x[4] *= np.float32(1e37)
    x[5, 40] = np.inf
    x[6, 3] = np.nan
    x[7, 69] = -np.inf
    x[8] = np.resize(np.float32([1.984375, 1.9921875, -1.9921875, 1.99, 0.0078125, -0.0234375]), 70)
    x[9] *= np.float32(1e-37)
    x[10] = np.nextafter(np.exp2(rng.integers(-130, 120, 70)).astype(np.float32), np.float32(0))
    x[11] = np.finfo(np.float32).max
    x[12] = np.float32(2) ** np.float32(-126)
    return x


@pytest.mark.parametrize("bits", MX, ids=str)
def test_microscaling(isa: str, bits: Any, rng: np.random.Generator) -> None:
    x = rows(rng)
    for size, narrow in ((32, False), (100, True), (16, True), (7, False)):
        wanted, scales = mx(x, bits, size, narrow)
        blocks = {**DYNAMIC, -1: size}
        same_bits(formats.fake_block_quant(x, bits, blocks, None, False, narrow), wanted)
        desc = formats_descriptor(bits, blocks, narrow)
        codes, found = formats.quantize(x, desc)
        same_bits(found.scale, scales)
        got = formats.dequantize(codes, found)
        np.testing.assert_array_equal(np.where(np.isnan(wanted), 0, got), np.where(np.isnan(wanted), 0, wanted))
        assert (np.isnan(got) == np.isnan(wanted)).all()


def formats_descriptor(bits: Any, blocks: Any, narrow: bool = False) -> Any:
    from pytorch_quantization_c.tensor_quant import QuantDescriptor

    return QuantDescriptor(bits, block_sizes=blocks, narrow_range=narrow)


def finite_rows(rng: np.random.Generator) -> Any:
    return np.delete(rows(rng), (5, 6, 7), 0)


@pytest.mark.parametrize("bits", [(2, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("scaled", [1e-30, 1e-44, 1.0])
def test_nvfp4(isa: str, bits: Any, scaled: float, rng: np.random.Generator) -> None:
    x = np.delete(finite_rows(rng), (4, 9), 0)[:8] * np.float32(scaled)
    for given in (None, np.float32(2.5 * scaled), np.float32(0)):
        wanted, scales, whole = nvfp4(x, 16, given, bits)
        same_bits(formats.fake_block_quant(x, bits, NV, given), wanted)
        codes, found = formats.quantize(x, formats_descriptor(bits, NV), given)
        same_bits(found.scale, scales)
        same_bits(np.float32(found.global_scale), whole)
        np.testing.assert_array_equal(formats.dequantize(codes, found), wanted)


def test_nvfp4_of_infinities_and_nan(isa: str) -> None:
    x = np.ones((1, 48), np.float32)
    x[0, 20] = np.nan
    assert np.isnan(formats.fake_block_quant(x, (2, 1), NV)).all()      # the range of the array is NaN
    fixed = formats.fake_block_quant(x, (2, 1), NV, np.float32(1))
    same_bits(np.isnan(fixed), np.array([[False] * 16 + [True] * 16 + [False] * 16]))
    x[0, 20] = np.inf
    got = formats.fake_block_quant(x, (2, 1), NV)
    assert (got[0, :16] == 0).all() and np.isnan(got[0, 16:32]).all() and (got[0, 32:] == 0).all()
    got = formats.fake_block_quant(x, (2, 1), NV, np.float32(1))
    assert got[0, 20] == np.float32(448) * (np.float32(1) / np.float32(2688)) * 6     # saturates


def test_static_blocks_have_their_own_ranges(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 48)).astype(np.float32)
    amax = np.abs(rng.normal(size=(3, 3))).astype(np.float32)
    each = np.repeat(amax, 16, 1)
    for bits in ((2, 1), (4, 3), (5, 2)):
        scale = np.float32(1) / each * np.float32(LARGEST[bits])
        dtype = {(2, 1): ml_dtypes.float4_e2m1fn, (4, 3): ml_dtypes.float8_e4m3fn, (5, 2): ml_dtypes.float8_e5m2}[bits]
        largest = np.float32(LARGEST[bits])
        wanted = np.clip(x * scale, -largest, largest).astype(dtype).astype(np.float32) / scale
        same_bits(formats.fake_block_quant(x, bits, {-1: 16}, amax), wanted)
    scale = np.float32(7) / each
    wanted = np.clip(np.rint(x * scale), -8, 7) / scale
    same_bits(formats.fake_block_quant(x, 4, {-1: 16}, amax), wanted)
    same_bits(formats.fake_block_quant(x, 4, {-1: 16}, amax, False, True), np.maximum(np.rint(x * scale), -7)
              .clip(max=7) / scale)
    shared = np.exp2(np.floor(np.log2(each)) - 2).astype(np.float32)
    wanted = np.clip(x / shared, -6, 6).astype(ml_dtypes.float4_e2m1fn).astype(np.float32) * shared
    same_bits(formats.fake_block_quant(x, (2, 1), {-1: 16, "scale_bits": (8, 0)}, amax), wanted)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_types(isa: str, dtype: Any, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(6, 70)) * np.exp2(rng.integers(-12, 9, (6, 70)))).astype(dtype)
    for blocks, bits in ((DYNAMIC, (2, 1)), (NV, (2, 1)), ({-1: 32}, 4), ({-1: 32}, (4, 3))):
        narrow = x.astype(np.float32)
        whole = formats.fake_block_quant(narrow, bits, blocks)
        got = formats.fake_block_quant(x, bits, blocks)
        assert got.dtype == dtype
        if dtype == np.float64:
            if blocks is not DYNAMIC:
                continue
            from .formats import blocks_of, mx_scale, nearest
            for row, values in zip(x, got, strict=True):
                for begin, end in blocks_of(row, 32):
                    part = row[begin:end]
                    scale = mx_scale(float(np.float32(np.abs(part).max())), 2)
                    np.testing.assert_array_equal(values[begin:end], nearest(part / scale, bits) * scale)
        else:
            same_bits(got, whole.astype(dtype))


def test_any_number_of_threads(thread_count: None, rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 1000)).astype(np.float32)
    found = []
    for count in (1, 2, 3):
        threads.set_num_threads(count)
        found.append([formats.fake_block_quant(x, (2, 1), blocks) for blocks in (DYNAMIC, NV)])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            same_bits(mine, theirs)


def test_arguments_of_the_kernels() -> None:
    x = np.ones((2, 8), np.float32)
    with pytest.raises(ValueError, match="block_amax"):
        _C.block_quant(x, 4, 2, 1, 0, 0, 8, 0.0, np.ones((2, 3), np.float32), False)
    with pytest.raises(TypeError, match="half type"):
        _C.block_quant(x.astype(np.float16), 4, 2, 1, 0, 0, 8, 0.0, None, False)
    with pytest.raises(ValueError, match="`steps` with 4 elements, got 3"):
        _C.decode(np.zeros((2, 8), np.uint8), np.zeros(256, np.float32), np.ones(3, np.float32), 4)
    with pytest.raises(ValueError, match="`table` with 256"):
        _C.decode(np.zeros((2, 8), np.uint8), np.zeros(16, np.float32), np.ones(4, np.float32), 4)

"""Where the functions differ from the original on purpose, row by row."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import cuda_ext
from pytorch_quantization_c import tensor_quant as tq

from .. import oracle

X = np.array([[-2.5, -0.3, 0.0, 0.7], [1.1, 2.0, -2.0, 0.4]], np.float32)


def test_D02_narrow_range_is_honoured_by_cuda_ext() -> None:
    x = np.array([-2.0, 2.0], np.float32)
    np.testing.assert_array_equal(cuda_ext.fake_tensor_quant(x, 1.27, 8, False, True), np.float32([-1.27, 1.27]))
    lowest = np.float32(-128) / (np.float32(127) / np.float32(1.27))
    np.testing.assert_array_equal(cuda_ext.fake_tensor_quant(x, 1.27, 8, False, False), [lowest, np.float32(1.27)])


def test_D03_amax_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`amax` of one element, got shape \(4,\) for inputs of shape \(2, 4\)"):
        cuda_ext.fake_tensor_quant(X, np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r"`amax` of size 2, got shape \(4,\) for inputs of shape \(2, 4\)"):
        cuda_ext.fake_tensor_quant_with_axis(X, np.ones(4, np.float32), 0)


def test_D14_zero_bits_give_zeros_and_one_signed_bit_is_refused() -> None:
    oracle.same(tq.fake_tensor_quant(X, 2.5, 0), np.zeros_like(X))
    oracle.same(tq.tensor_quant(X, 2.5, 0)[0], np.zeros_like(X))
    with pytest.raises(ValueError, match="`num_bits` >= 2"):
        tq.fake_tensor_quant(X, 2.5, 1)
    np.testing.assert_array_equal(tq.tensor_quant(np.abs(X), 1.0, 1, True)[0], np.abs(X) > 0.5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("amax", [np.float32(2.5), np.float32([[2.5], [1.5]]), np.float32(1e-3)], ids=str)
def test_D15_halves_compute_in_float32_and_round_once(dtype: type, amax: object, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 50)).astype(dtype)
    oracle.same(tq.fake_tensor_quant(x, amax), oracle.integer(x, amax)[1])
    assert tq.fake_tensor_quant(x, amax).dtype == dtype


@pytest.mark.parametrize("amax", [np.float64(2.5), np.array([2.5]), np.array([[2.5], [1.5]])], ids=str)
def test_D16_output_has_the_type_of_the_input(amax: object) -> None:
    for dtype in (np.float16, np.float32):
        x = X.astype(dtype)
        outputs, scale = tq.tensor_quant(x, amax)
        assert outputs.dtype == scale.dtype == tq.fake_tensor_quant(x, amax).dtype == dtype
        oracle.same(outputs, oracle.integer(x, np.asarray(amax, np.float32))[0])
    with pytest.raises(TypeError, match="int64"):
        tq.fake_tensor_quant(X.astype(np.int64), amax)


def test_D17_a_nan_amax_concerns_its_own_channel() -> None:
    x = np.ones((3, 2), np.float32)
    outputs, scale = tq.tensor_quant(x, np.array([[np.nan], [0.0], [1.0]], np.float32))
    np.testing.assert_array_equal(outputs, [[np.nan] * 2, [0, 0], [127, 127]])
    np.testing.assert_array_equal(scale, [[np.nan], [1], [127]])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_D18_unsigned_and_empty(shape: tuple[int, ...]) -> None:
    x = np.empty(shape, np.float32)
    oracle.same(tq.fake_tensor_quant(x, 1.0, 8, True), x)
    outputs, scale = tq.tensor_quant(x, 1.0, 8, True)
    oracle.same(outputs, x)
    assert scale == 255


def test_D19_e4m3_runs_here() -> None:
    x = np.float32([-500, -17, 0.3, 448, np.nan])
    np.testing.assert_array_equal(cuda_ext.fake_e4m3fy(x), np.float32([-448, -16, 0.3125, 448, np.nan]))
    oracle.same(tq.scaled_e4m3(X, np.float32(2.5)), oracle.e4m3(X, np.float32(2.5)))


def test_D25_numbers_scalars_lists_and_arrays_are_all_taken() -> None:
    wanted = oracle.integer(X, np.float32(2.0))[1]
    for amax in (2, 2.0, np.float32(2), np.float64(2), [2.0], [[2.0] * 4], np.array(2), np.full((2, 1), 2.0)):
        oracle.same(tq.fake_tensor_quant(X, amax), wanted)
    wanted = oracle.affine(X, -1, 2, 4)
    for low, high in ((-1, 2), (-1.0, 2.0), ([-1.0], [2.0]), (np.float64(-1), np.array([[2.0]], np.float32))):
        oracle.same(tq.fake_affine_tensor_quant(X, low, high, 4), wanted)

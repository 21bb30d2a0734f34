"""cuda_ext: the four functions, `out=` and what they refuse."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import cuda_ext

from . import oracle

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_results_with_and_without_out(dtype: type, order: Any, rng: np.random.Generator) -> None:
    x = np.asarray(rng.normal(size=(4, 5, 6)).astype(dtype), order=order)
    amax = rng.uniform(0.5, 2, 5).astype(np.float32)
    for call, wanted in (
            (lambda **out: cuda_ext.fake_tensor_quant(x, 1.5, 6, False, False, **out),
             oracle.integer(x, 1.5, 6, False, False)[1]),
            (lambda **out: cuda_ext.fake_tensor_quant_with_axis(x, amax, 1, **out),
             oracle.integer(x, amax[:, None])[1]),
            (lambda **out: cuda_ext.fake_tensor_quant_with_axis(x, amax.tolist(), -2, **out),
             oracle.integer(x, amax[:, None])[1]),
            (lambda **out: cuda_ext.fake_e4m3fy(x, **out), oracle.e4m3(x))):
        oracle.same(call(), wanted)
        for out in (np.empty_like(x), np.empty((4, 5, 12), dtype)[:, :, ::2], np.empty((6, 5, 4), dtype).T):
            assert call(out=out) is out
            oracle.same(out, wanted)


@pytest.mark.parametrize("amax", [1.5, 1, np.float32(1.5), np.array([1.5]), [[1.5]], np.array(1.5)], ids=str)
def test_in_place(amax: Any, rng: np.random.Generator) -> None:
    limit = np.asarray(amax, np.float32).reshape(())
    for x in (rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32).T,
              rng.normal(size=(3, 8)).astype(np.float32)[:, 1::2]):
        wanted = oracle.integer(x, limit)[1]
        assert cuda_ext.fake_tensor_quant_(x, amax) is None
        oracle.same(x, wanted)


def test_out_may_overlap_the_inputs() -> None:
    base = np.arange(11, dtype=np.float32)
    wanted = oracle.integer(base[:-1].copy(), 10.0)[1]
    oracle.same(cuda_ext.fake_tensor_quant(base[:-1], 10.0, out=base[1:]), wanted)
    oracle.same(base[1:], wanted)


def test_what_is_refused_leaves_everything_as_it_was() -> None:
    x, out = np.float32([[1, -2], [3, 4]]), np.full((2, 2), 7, np.float32)
    frozen = x.copy()
    frozen.setflags(write=False)
    for call, error, message in (
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, 8, True, out=out), TypeError, "Negative values"),
            (lambda: cuda_ext.fake_tensor_quant(x, -1.0, out=out), ValueError, "`amax` >= 0"),
            (lambda: cuda_ext.fake_tensor_quant(x, [1.0, 2.0], out=out), ValueError, "`amax` of one element"),
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, 99, out=out), ValueError, "`num_bits`"),
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, out=out[0]), ValueError, "`out` of shape"),
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, out=out.astype(np.float64)), TypeError, "`out` of dtype"),
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, out=[0.0]), TypeError, "`out` to be an array"),
            (lambda: cuda_ext.fake_tensor_quant(x, 1.0, out=frozen), ValueError, "writeable"),
            (lambda: cuda_ext.fake_tensor_quant_(frozen, 1.0), ValueError, "writeable"),
            (lambda: cuda_ext.fake_tensor_quant_(x, 1.0, 8, True), TypeError, "Negative values"),
            (lambda: cuda_ext.fake_tensor_quant_([1.0], 1.0), TypeError, "`inputs` to be an array, got list"),
            (lambda: cuda_ext.fake_tensor_quant_with_axis(x, [1.0, 2.0], 2), IndexError, "`axis` from -2 to 1, got 2"),
            (lambda: cuda_ext.fake_tensor_quant_with_axis(x, [1.0, 2.0], 0.0), TypeError, "`axis` to be an integer"),
            (lambda: cuda_ext.fake_tensor_quant_with_axis(x, "ab", 0), TypeError, "`amax`"),
            (lambda: cuda_ext.fake_tensor_quant_with_axis(x, [1.0], 0), ValueError, "`amax` of size 2"),
            (lambda: cuda_ext.fake_tensor_quant_with_axis(1.0, [1.0], 0), IndexError, "`axis`"),
            (lambda: cuda_ext.fake_e4m3fy(np.ones(3, np.int32)), TypeError, "int32")):
        with pytest.raises(error, match=message):
            call()
        np.testing.assert_array_equal(x, [[1, -2], [3, 4]])
        assert (out == 7).all()

"""The five functions and their Function classes against the formulas in plain NumPy."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytorch_quantization_c import isa
from pytorch_quantization_c import tensor_quant as tq

from . import oracle

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
SPECIAL = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 3e38, -3e38, 0.5, 1.5, 2.5, -0.5, -1.5])
FAKES = [tq.fake_tensor_quant, tq.legacy_fake_tensor_quant]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_bits", [2, 4, 8, 16, 24])
@pytest.mark.parametrize(("unsigned", "narrow_range"), [(False, True), (False, False), (True, True)])
def test_formula(dtype: type, num_bits: int, unsigned: bool, narrow_range: bool, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(3, 4, 5)) * 3).astype(dtype)
    x = np.abs(x) if unsigned else x
    for amax in (np.float32(2.5), rng.uniform(0.5, 3, (3, 1, 1)).astype(np.float32),
                 rng.uniform(0.5, 3, (4, 1)).astype(np.float32), np.abs(x) + dtype(0.25),
                 rng.uniform(0.5, 3, (2, 1, 1, 1)).astype(np.float32)):
        whole, fake, scale = oracle.integer(x, amax, num_bits, unsigned, narrow_range)
        for function in FAKES:
            oracle.same(function(x, amax, num_bits, unsigned, narrow_range), fake)
        if np.isfinite(scale.astype(np.float64)).all():
            outputs, got = tq.tensor_quant(x, amax, num_bits, unsigned, narrow_range)
            oracle.same(outputs, whole)
            oracle.same(got, scale)


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("amax", [0.0, 2.0 ** -24, 2.0 ** -23, 1.0, 127.0, 3e38, np.inf, np.nan])
def test_special_values_on_every_isa(name: str, amax: float) -> None:
    with isa.only(name):
        for dtype in (np.float32, np.float64):
            with np.errstate(over="ignore", under="ignore"):
                x, limit = np.tile(SPECIAL, 5).astype(dtype), np.float32(amax)
            oracle.same(tq.fake_tensor_quant(x, limit), oracle.integer(x, limit)[1])
            oracle.same(tq.scaled_e4m3(x, limit), oracle.e4m3(x, limit))
            grad = np.ones_like(x)
            oracle.same(tq.FakeTensorQuantFunction.backward(saved(x, limit), grad)[0], oracle.ste(x, limit, grad))


arrays = hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
                    elements=st.floats(width=32))


@given(arrays, st.floats(0, 2.0 ** 100, width=32), st.integers(0, 24), st.booleans())
def test_any_array(x: Any, amax: float, num_bits: int, narrow_range: bool) -> None:
    num_bits = 0 if num_bits == 1 else num_bits
    whole, fake, scale = oracle.integer(x, np.float32(amax), num_bits, False, narrow_range)
    oracle.same(tq.fake_tensor_quant(x, amax, num_bits, False, narrow_range), fake)
    outputs, got = tq.tensor_quant(x, amax, num_bits, False, narrow_range)
    oracle.same(outputs, whole)
    if num_bits:
        oracle.same(got, scale)


@given(arrays, st.floats(-100, 100, width=32), st.floats(0, 100, width=32), st.integers(1, 16))
def test_affine_of_any_array(x: Any, low: float, width: float, num_bits: int) -> None:
    low, high = np.float32(low), np.float32(low) + np.float32(width)
    oracle.same(tq.fake_affine_tensor_quant(x, low, high, num_bits), oracle.affine(x, low, high, num_bits))


def saved(*arrays: Any) -> tq.FunctionCtx:
    ctx = tq.FunctionCtx()
    ctx.save_for_backward(*arrays)
    return ctx


@pytest.mark.parametrize("name", ["TensorQuantFunction", "FakeTensorQuantFunction", "LegacyFakeTensorQuantFunction"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_passes_where_the_input_is_within_amax(name: str, dtype: type, rng: np.random.Generator) -> None:
    cls: Any = getattr(tq, name)
    x, grad = (rng.normal(size=(4, 6)).astype(dtype) for _ in range(2))
    for amax in (np.float32(1), rng.uniform(0.1, 2, (4, 1)).astype(np.float32)):
        ctx = tq.FunctionCtx()
        output = cls.forward(ctx, x, amax)
        output = output[0] if isinstance(output, tuple) else output
        oracle.same(output, cls.apply(x, amax)[0] if name == "TensorQuantFunction" else cls.apply(x, amax))
        back = cls.backward(ctx, grad, None) if name == "TensorQuantFunction" else cls.backward(ctx, grad)
        oracle.same(back[0], oracle.ste(x, amax, grad))
        assert back[1:] == (None,) * 4


def test_gradients_of_affine_and_e4m3() -> None:
    x, grad = np.float32([-3, -1, 0, 2, 447, 449, np.nan]), np.float32([1, 2, 3, 4, 5, 6, 7])
    ctx = tq.FunctionCtx()
    tq.FakeAffineTensorQuantFunction.forward(ctx, x, -1.0, 2.0, 8)
    oracle.same(tq.FakeAffineTensorQuantFunction.backward(ctx, grad)[0], np.float32([0, 2, 3, 4, 0, 0, 0]))
    for amax, passed in ((None, [1, 2, 3, 4, 5, 0, 0]), (np.float32(2), [0, 2, 3, 4, 0, 0, 0])):
        tq.ScaledE4M3Function.forward(ctx, x, amax)
        oracle.same(tq.ScaledE4M3Function.backward(ctx, grad)[0], np.float32(passed))


def test_e4m3_of_every_half_and_of_a_number() -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for values in (x, x.astype(np.float32), x.astype(np.float64)):
        oracle.same(tq.scaled_e4m3(values), oracle.e4m3(values))
        oracle.same(tq.scaled_e4m3(values, np.float32(3.7)), oracle.e4m3(values, np.float32(3.7)))
    x = np.float32([-57.25, 0.3, 12, 57.25])
    scale = np.float32(448.0 / 57.25)       # a Python number is divided by once, in double
    oracle.same(tq.scaled_e4m3(x, 57.25), oracle.e4m3(x * scale) / scale)


def test_keywords_defaults_and_lists() -> None:
    x = np.float32([[0.25, -2.0], [1.0, 0.5]])
    wanted = oracle.integer(x, np.float32([1.0, 2.0]), 4, False, False)[1]
    oracle.same(tq.fake_tensor_quant(narrow_range=False, amax=[1.0, 2.0], inputs=x.tolist(), num_bits=4), wanted)
    oracle.same(tq.fake_tensor_quant(x, 2.0), oracle.integer(x, 2.0, 8, False, True)[1])
    oracle.same(tq.fake_affine_tensor_quant(x, -2, 1), oracle.affine(x, -2, 1, 8))


def test_float16_scale_is_checked() -> None:
    x = np.ones((2, 3), np.float16)
    with pytest.raises(ValueError, match="scale is too large for FP16"):
        tq.tensor_quant(x, np.float32([[1.0], [1e-3]]))
    for amax in (np.float32([[1.0], [0.0]]), np.float32([[1.0], [np.nan]]), np.float32(127 / 65504)):
        oracle.same(tq.tensor_quant(x, amax)[1], oracle.integer(x, amax)[2])
    oracle.same(tq.fake_tensor_quant(x, 1e-3), oracle.integer(x, 1e-3)[1])


@pytest.mark.parametrize("call", FAKES + [tq.tensor_quant])
@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((np.ones(3, np.int64), 1.0), TypeError, "`inputs`.*int64"),
    (("text", 1.0), TypeError, "`inputs`"),
    ((None, 1.0), TypeError, "`inputs`"),
    (([[1.0], [1.0, 2.0]], 1.0), TypeError, "`inputs`"),
    ((np.ones(3, np.complex64), 1.0), TypeError, "complex64"),
    (([1.0], "big"), TypeError, "`amax`"),
    (([1.0], None), TypeError, "`amax`"),
    (([1.0], -1.0), ValueError, "`amax` >= 0, got -1.0"),
    (([1.0], [1.0, -2.0]), ValueError, "Negative values in amax"),
    ((np.ones((2, 3), np.float32), np.ones(2, np.float32)), ValueError, r"shape \(2, 3\), got shape \(2,\)"),
    (([1.0, 2.0], np.empty(0, np.float32)), ValueError, "`amax`"),
    (([1.0], 1.0, 33), ValueError, "`num_bits`.*33"),
    (([1.0], 1.0, -1), ValueError, "`num_bits`.*-1"),
    (([1.0], 1.0, 8.0), TypeError, "`num_bits`"),
    (([-1.0], 1.0, 8, True), TypeError, "Negative values encountered in unsigned quantization."),
])
def test_refusals(call: Any, arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*arguments)


def test_refusals_of_the_others() -> None:
    with pytest.raises(RuntimeError, match="E=5 and M=2"):
        tq.scaled_e4m3([1.0], None, 5, 2)
    with pytest.raises(ValueError, match="E=4 and M=2"):
        tq.ScaledE4M3Function.symbolic(None, None, None, 4, 2)
    with pytest.raises(TypeError, match="`max_range`"):
        tq.fake_affine_tensor_quant([1.0], 0.0, "x")
    with pytest.raises(ValueError, match="`min_range`"):
        tq.fake_affine_tensor_quant(np.ones((2, 3), np.float32), np.zeros(2, np.float32), 1.0)
    with pytest.raises(ValueError, match="`num_bits`"):
        tq.fake_affine_tensor_quant([1.0], 0.0, 1.0, 0)
    with pytest.raises(ValueError, match="`grad_outputs` "):
        tq.FakeAffineTensorQuantFunction.backward(saved(np.ones((2, 3)), 0.0, 1.0), np.ones(2))
    with pytest.raises(TypeError, match="defines `forward`"):
        tq.Function.apply(1)


def test_a_nan_hides_negative_values_as_in_the_original() -> None:
    x = np.float32([-1.0, np.nan, 1.0])
    oracle.same(tq.fake_tensor_quant(x, 2.0, 8, True), oracle.integer(x, 2.0, 8, True)[1])


def test_context_decides_which_gradients_are_wanted() -> None:
    class Leaf:
        requires_grad = True

    ctx = tq.FunctionCtx()
    assert ctx.needs(0, Leaf()) and not ctx.needs(0, 1.0) and ctx.saved_tensors == ()
    ctx.needs_input_grad = (False, True)
    assert not ctx.needs(0, Leaf()) and ctx.needs(1, 1.0)
    ctx.anything = 3
    assert ctx.anything == 3


def test_a_class_of_ones_own() -> None:
    class Double(tq.Function):
        @staticmethod
        def forward(ctx: tq.FunctionCtx, x: Any, factor: float = 2) -> Any:
            ctx.save_for_backward(x)
            return x * factor

    assert Double.apply(3) == 6 and Double.apply(3, factor=3) == 9

"""What must hold for any input: of quantisation as such, not of a formula."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytorch_quantization_c import _C

from .. import oracle
from .cases import same_bits

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = hnp.arrays(np.float32, st.integers(1, 60), elements=finite)
amaxes = st.floats(2.0 ** -20, 2.0 ** 20, width=32).map(np.float32)
bits = st.integers(2, 16)


def fake(x: Any, amax: Any, num_bits: int, narrow: bool = True) -> Any:
    return _C.fake_quant(x, amax, num_bits, False, narrow)


@given(arrays, amaxes, bits, st.booleans())
def test_twice_is_once(x: Any, amax: Any, num_bits: int, narrow: bool) -> None:
    once = fake(x, amax, num_bits, narrow)
    same_bits(fake(once, amax, num_bits, narrow), once)
    once = _C.e4m3(x, amax)
    # a value below 2^-24 is +0 the second time, and was not the first time if it came from a larger one
    same_bits(np.where(np.abs(once) < oracle.TINY, 0, _C.e4m3(once, amax)).astype(np.float32),
              np.where(np.abs(once) < oracle.TINY, 0, once).astype(np.float32))


@given(arrays, amaxes, bits)
def test_odd_when_narrow(x: Any, amax: Any, num_bits: int) -> None:
    same_bits(fake(-x, amax, num_bits), -fake(x, amax, num_bits))
    oracle.same(_C.e4m3(-x, amax), -_C.e4m3(x, amax))


@given(arrays, amaxes, bits, st.booleans())
def test_monotone(x: Any, amax: Any, num_bits: int, narrow: bool) -> None:
    x = np.sort(x)
    for y in (fake(x, amax, num_bits, narrow), _C.quantize(x, amax, num_bits, False, narrow)[0], _C.e4m3(x, amax)):
        assert (np.diff(y) >= 0).all()


@given(arrays, amaxes, bits, st.booleans(), st.booleans())
def test_range_and_grid(x: Any, amax: Any, num_bits: int, narrow: bool, unsigned: bool) -> None:
    x = np.abs(x) if unsigned else x
    whole, _ = _C.quantize(x, amax, num_bits, unsigned, narrow)
    most = 2 ** (num_bits - 1 + unsigned) - 1
    least = 0 if unsigned else -most if narrow else -most - 1
    assert (whole == np.rint(whole)).all() and whole.min() >= least and whole.max() <= most
    assert (np.abs(_C.e4m3(x, amax)) <= amax * np.float32(1 + 2.0 ** -22)).all()


@given(arrays, amaxes, bits)
def test_error_is_half_a_step_within_the_range(x: Any, amax: Any, num_bits: int) -> None:
    x = np.clip(x, -amax, amax)
    step = float(amax) / (2 ** (num_bits - 1) - 1)
    error = np.abs(fake(x, amax, num_bits).astype(np.float64) - x)
    assert (error <= step / 2 + 4 * 2.0 ** -24 * float(amax)).all()


@given(arrays, amaxes, bits, st.integers(-20, 20))
def test_powers_of_two_scale_through(x: Any, amax: Any, num_bits: int, exponent: int) -> None:
    """Where nothing under- or overflows: multiplying x and amax by a power of 2 multiplies the result."""
    factor = np.float32(2.0 ** exponent)
    x = np.where(np.abs(x) < 2.0 ** -60, np.float32(0), np.clip(x, -2.0 ** 60, 2.0 ** 60)).astype(np.float32)
    assume(amax * factor > oracle.TINY)
    same_bits(fake(x * factor, amax * factor, num_bits), fake(x, amax, num_bits) * factor)


@given(arrays, st.permutations(range(60)), st.integers(0, 60))
def test_amax_does_not_depend_on_order(x: Any, order: list[int], cut: int) -> None:
    largest = _C.amax(x, None, False)
    shuffled = x[[i for i in order if i < x.size]]
    assert _C.amax(shuffled, None, False) == largest == np.abs(x).max()
    parts = [_C.amax(part, None, False) for part in (x[:cut], x[cut:]) if part.size]
    assert max(parts) == largest


@given(arrays, amaxes)
def test_gradient_is_the_given_one_or_zero(x: Any, amax: Any) -> None:
    grad = np.arange(1, x.size + 1, dtype=np.float32)
    y = _C.ste(x, amax, grad)
    assert (((y == grad) & (np.abs(x) <= amax)) | ((y == 0) & (np.abs(x) > amax))).all()

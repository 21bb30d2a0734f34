"""Products with weights of 2 to 4 bits in groups: to the bit, on every instruction set; what they refuse and take."""
import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import _C
from pytorch_quantization_c.integer import Geometry, Int, PackedInt4, PackedWeights

from ..patience import least_held
from .cases import INT8, on_every_isa, seeds
from .oracle import quantized, scale_of


def fma(a, b, c):
    """Rounded to float32 once: the product has 48 bits, the sum 64 or more."""
    return (a.astype(np.longdouble) * b.astype(np.longdouble) + np.asarray(c, np.longdouble)).astype(np.float32)


def expected(x, weight, scale, f, group, zero, bias, amax=None, by_row=False, steps=False):
    """As the docstring has it: an int64 sum for each group, then float32, one rounding at a time."""
    magnitudes = np.abs(x).max(1) if by_row else np.full(len(x), np.abs(x).max())
    ranges = np.broadcast_to(magnitudes if amax is None else np.asarray(amax, np.float32), len(x))
    codes = np.stack([quantized(row, each, f) for row, each in zip(x, ranges, strict=True)])
    inverse_x = 1.0 / scale_of(ranges, f).astype(np.float64)[:, None]
    inverse_w = scale.astype(np.float64) if steps else 1.0 / scale.astype(np.float64)
    w = weight.astype(np.int64)
    for i, start in enumerate(range(0, w.shape[1], group)):
        w[:, start:start + group] -= 0 if zero is None else zero[:, i:i + 1].astype(np.int64)
    if scale.shape[1] == 1:
        return fma((codes @ w.T).astype(np.float32), (inverse_x * inverse_w.T).astype(np.float32), bias)
    total = np.zeros((len(x), len(w)), np.float32)
    for i, start in enumerate(range(0, w.shape[1], group)):
        sums = codes[:, start:start + group] @ w[:, start:start + group].T
        total = fma(sums.astype(np.float32), inverse_w[:, i].astype(np.float32)[None], total)
    return fma(total, inverse_x.astype(np.float32), bias)


def case(rng, rows, inputs, outputs, group, unsigned=False, bits=4):
    low = 0 if unsigned else -(2 ** (bits - 1))
    groups = -(-inputs // group)
    weight = rng.integers(low, low + 2**bits, (outputs, inputs)).astype(np.uint8 if unsigned else np.int8)
    zero = rng.integers(low, low + 2**bits, (outputs, groups)).astype(weight.dtype)
    scale = rng.uniform(0.5, 90, (outputs, groups)).astype(np.float32)
    x = (rng.standard_normal((rows, inputs)) * rng.uniform(0.01, 9, (rows, 1))).astype(np.float32)
    return x, weight, scale, zero, rng.standard_normal(outputs).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 200), st.integers(1, 40), st.sampled_from([None, 8, 16, 32, 64, 128]),
       st.integers(2, 8), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(2, 4), seeds)
def test_sums_are_exact_and_roundings_as_stated(rows, inputs, outputs, group, bits, unsigned_x, unsigned_w, has_zero,
                                                by_row, weight_bits, seed):
    rng, f = np.random.default_rng(seed), Int(bits, unsigned_x, bool(seed % 2))
    x, w, scale, zero, bias = case(rng, rows, inputs, outputs, group or inputs, unsigned_w, weight_bits)
    x = np.abs(x) if unsigned_x else x
    zero = zero if has_zero else None
    amax = None if seed % 3 else np.abs(x).max(1) * np.float32(0.7) if by_row else 1.25
    steps = seed % 5 == 0
    want = expected(x, w, scale, f, group or inputs, zero, bias, amax, by_row, steps)
    for y in on_every_isa(lambda: PackedInt4(w, scale, f, group=group, zero=zero, steps=steps),
                          lambda p: p(x, amax, bias, by_row=by_row)):
        np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize("rows, inputs, outputs, group", [(1, 1536, 512, 32), (40, 520, 100, 64), (300, 4096, 32, 128)])
def test_many_rows_and_threads(rows, inputs, outputs, group, rng):
    x, w, scale, zero, bias = case(rng, rows, inputs, outputs, group)
    want = expected(x, w, scale, INT8, group, zero, bias, by_row=True)
    for y in on_every_isa(lambda: PackedInt4(w, scale, INT8, group=group, zero=zero),
                          lambda p: p(x, None, bias, by_row=True)):
        np.testing.assert_array_equal(y, want)


def test_the_largest_sums_are_exact():
    """Extreme codes in a long group, whose sums are near 31 bits; half of them cancelled by the zero point."""
    x = np.ones((2, 4096), np.float32)
    w, zero = np.full((3, 4096), 15, np.uint8), np.array([[0], [15], [7]], np.uint8)
    for f in (Int(8, True), Int(8)):
        high = 255 if f.unsigned else 127
        for y in on_every_isa(lambda f=f: PackedInt4(w, np.ones(3, np.float32), f, zero=zero), lambda p: p(x)):
            inverse = np.float32(1 / np.float64(np.float32(high)))
            np.testing.assert_array_equal(y[0], np.float32([15 * high * 4096, 0, 8 * high * 4096]) * inverse)


def test_a_channel_of_one_group_has_the_bits_of_bytes(rng):
    x, w, scale, _, bias = case(rng, 7, 100, 20, 100)
    bytes_ = PackedWeights(w, scale[:, 0], Geometry(), INT8)
    for amax in (None, 1.5):
        for group in (None, 104, 128):
            np.testing.assert_array_equal(PackedInt4(w, scale, INT8, group=group)(x, amax, bias), bytes_(x, amax, bias))
    assert (PackedInt4(w, np.float32(3), INT8)(x) == PackedWeights(w, np.float32(3), Geometry(), INT8)(x)).all()


@pytest.mark.parametrize("group, unsigned", [(None, False), (32, True), (16, False)])
def test_what_was_packed_comes_back_and_travels(group, unsigned, rng):
    x, w, scale, zero, _ = case(rng, 3, 50, 18, group or 50, unsigned)
    packed = PackedInt4(w, scale, INT8, group=group, zero=zero)
    for other in (packed, copy.copy(packed), copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        for found, given_ in ((other.codes(), w), (other.zero(), zero), (other.steps(), 1 / scale.astype(np.float64))):
            np.testing.assert_array_equal(found, given_.astype(found.dtype))
            assert found.dtype == given_.dtype or found.dtype == np.float32
        np.testing.assert_array_equal(other(x), packed(x))
    assert repr(packed) == f"PackedInt4({'u' if unsigned else ''}int4[18, 50], group={group}, int8)"
    assert PackedInt4(w, scale, INT8, group=group).zero() is None


def test_memory_is_half_a_byte_a_weight_and_the_scales(rng):
    w, scale = rng.integers(-8, 8, (512, 1024)).astype(np.int8), np.ones((512, 32), np.float32)
    packed = PackedInt4(w, scale, INT8, group=32)
    held = least_held(lambda: PackedInt4(w, scale, INT8, group=32), packed.nbytes + 4000)
    assert packed.nbytes == 512 * 1024 // 2 + 512 * 32 * 4
    assert packed.nbytes <= held < packed.nbytes + 4000


W = np.zeros((4, 40), np.int8)


@pytest.mark.parametrize("wrong, message", [
    ({"weight": W.astype(np.int16)}, "`weight` to be int8 or uint8"), ({"weight": W[0]}, "with 2 dimensions"),
    ({"weight": W[:0]}, "not empty"), ({"weight": W + np.int8(8)}, "`weight` from -8 to 7, got 8 to 8"),
    ({"weight": [[1]]}, "`weight` to be an array"), ({"input_format": 8}, "`input_format` to be an Int"),
    ({"input_format": Int(9)}, "`input_format` of 2 to 8 bits"), ({"group": 12}, "multiple of 8, got 12"),
    ({"group": 0}, "multiple of 8, got 0"), ({"group": True}, "`group` to be an integer"),
    ({"scale": np.ones((4, 3), np.float32)}, r"`scale` of shape \(4, 2\), got \(4, 3\)"),
    ({"scale": np.zeros((4, 2), np.float32)}, "`scale` to be positive"),
    ({"scale": np.full((4, 2), 1e-45, np.float32)}, "reciprocals to be finite"),
    ({"scale": np.full((4, 2), np.nan, np.float32)}, "`scale` to be finite"),
    ({"zero": np.zeros((4, 2), np.uint8)}, "`zero` to be an array of int8"),
    ({"zero": np.zeros((4, 1), np.int8)}, r"`zero` of shape \(4, 2\)"),
    ({"zero": np.full((4, 2), 9, np.int8)}, "`zero` from -8 to 7"),
])
def test_what_cannot_be_packed(wrong, message):
    arguments = {"weight": W, "scale": np.ones((4, 2), np.float32), "input_format": INT8, "group": 32, **wrong}
    with pytest.raises((TypeError, ValueError), match=message):
        PackedInt4(arguments.pop("weight"), arguments.pop("scale"), arguments.pop("input_format"), **arguments)


def refuses(packed, why, *args, **kwargs):
    with pytest.raises(TypeError if "float32 array" in why else ValueError, match=why):
        packed(*args, **kwargs)
    assert packed.product(*args, **kwargs) == why


def test_inputs_that_integers_cannot_take():
    packed, x = PackedInt4(W, np.ones((4, 2), np.float32), INT8, group=32), np.ones((3, 40), np.float32)
    bad = x.copy()
    bad[1, 39] = np.nan
    for by_row in (False, True):
        refuses(packed, "amax is negative or not finite", bad, by_row=by_row)
    refuses(packed, "NaN in the input", bad, 1.0)
    refuses(packed, "amax is negative or not finite", x, -1.0)
    refuses(packed, "amax is negative or not finite", x, [1.0, 2.0, np.inf], by_row=True)
    refuses(packed, "unexpected number of channels", x[:, 1:].copy())
    refuses(packed, "empty input", x[:0])
    refuses(packed, "the input is not a float32 array", x.astype(np.float64))
    refuses(PackedInt4(W, np.ones(4, np.float32), Int(8, True)), "negative input", -x, 1.0)
    for wrong in ({"amax": [1.0, 2.0]}, {"amax": [1.0], "by_row": True}, {"bias": np.ones(5, np.float32)}):
        with pytest.raises(ValueError, match="Expected `(amax|bias)` to have"):
            packed(x, **wrong)


def test_layouts_and_dimensions(rng):
    x, w, scale, _, bias = case(rng, 6, 80, 5, 16)
    packed = PackedInt4(w, scale, INT8, group=16)
    wide = np.repeat(x, 2, 1)
    want = packed(x, None, bias)
    np.testing.assert_array_equal(packed(wide[:, ::2], None, bias), want)
    np.testing.assert_array_equal(packed(x.reshape(2, 3, 80), None, bias), want.reshape(2, 3, 5))
    np.testing.assert_array_equal(packed(x[2], np.abs(x).max(), bias), want[2])
    np.testing.assert_array_equal(packed(np.zeros_like(x), None, bias), np.tile(bias, (6, 1)))


def test_the_functions_in_c_refuse_what_does_not_fit():
    panels = _C.int4_pack(np.zeros((5, 40), np.uint8), np.ones((5, 2), np.float32), 32)
    good = [panels, None, None, None, 8, 5, 40, 32, np.ones((2, 40), np.float32), None, False, None, 8, False, True]
    assert _C.int4_run(*good).shape == (2, 5)
    for at, wrong in ((0, panels[:-1]), (0, panels[::-1]), (0, None), (1, np.zeros(3, np.uint8)),
                      (2, np.zeros(32, np.int64)), (3, np.ones(5)), (4, 16), (5, 0), (5, 17), (6, 2**30), (7, 4),
                      (7, 33), (7, 64), (8, np.float32(1)), (11, np.ones(4, np.float32)), (12, 9), (13, True)):
        arguments = list(good)
        arguments[at] = wrong
        try:
            assert isinstance(_C.int4_run(*arguments), str)
        except (TypeError, ValueError) as error:
            assert "Expected" in str(error) or at in (5, 6)
    for wrong in ([np.zeros((5, 40), np.int8), np.ones((5, 2), np.float32), 32], [np.zeros((0, 40), np.uint8),
                  np.ones((0, 2), np.float32), 32], [np.zeros((5, 40), np.uint8), np.ones((5, 1), np.float32), 32]):
        with pytest.raises((TypeError, ValueError), match="Expected"):
            _C.int4_pack(*wrong)
    with pytest.raises(ValueError, match="Expected `panels`"):
        _C.int4_unpack(panels, 5, 41, 64)

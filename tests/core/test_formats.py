"""Number formats against ml_dtypes and two's complement; `Quantization` against a loop over elements."""
import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c._core.formats import E4M3, Float, Int, number_format
from pytorch_quantization_c._core.quantization import Quantization

from ..kernels.formats import FLOATS, code_values


@pytest.mark.parametrize("bits, dtype", [(8, np.int8), (16, np.int16), (32, np.int32), (4, ml_dtypes.int4)])
def test_signed_integers_are_twos_complement(bits, dtype):
    info = ml_dtypes.iinfo(dtype)
    assert (Int(bits).low, Int(bits).bound) == (info.min, info.max)
    assert (Int(bits, narrow=True).low, Int(bits, narrow=True).bound) == (-info.max, info.max)


@pytest.mark.parametrize("bits, dtype", [(8, np.uint8), (16, np.uint16), (32, np.uint32), (4, ml_dtypes.uint4)])
@pytest.mark.parametrize("narrow", [False, True])
def test_unsigned_integers(bits, dtype, narrow):
    assert (Int(bits, True, narrow).low, Int(bits, True, narrow).bound) == (0, ml_dtypes.iinfo(dtype).max)


def test_no_bits_leave_one_code():
    assert all((Int(0, unsigned).low, Int(0, unsigned).bound) == (0, 0) for unsigned in (False, True))


@pytest.mark.parametrize("bits, dtype", FLOATS.items())
def test_small_floats_are_those_of_ml_dtypes(bits, dtype):
    info, format = ml_dtypes.finfo(dtype), Float(*bits)
    assert format.bound == float(info.max) and str(format) == "E{}M{}".format(*bits)
    assert format.lowest_exponent == info.minexp and format.top_exponent == np.frexp(float(info.max))[1] - 1
    assert format.bits == info.bits and format.num_bits == bits
    values = np.sort(code_values(bits)[np.isfinite(code_values(bits))])
    assert format.top_spacing == values[-1] - values[-2]


@pytest.mark.parametrize("bits", [-1, 33])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError, match=f"Expected `bits` >= 0 and <= 32, got {bits}"):
        Int(bits)


@pytest.mark.parametrize("format", [(5, 3), (4, 4), (0, 0)])
def test_other_floats_are_refused(format):
    with pytest.raises(ValueError, match=r"Expected the float format \(5, 2\), \(4, 3\), .* got"):
        Float(*format)


def test_the_format_of_a_descriptor():
    assert number_format((4, 3)) == E4M3
    assert number_format(4, True) == Int(4, True)
    assert [str(each) for each in (Int(8), Int(4, True), E4M3)] == ["int8", "uint4", "E4M3"]
    assert (Int(5).num_bits, E4M3.num_bits) == (5, (4, 3))


@pytest.mark.parametrize("axis, block, count",
                         [(None, None, 1), (0, None, 3), (1, None, 7), (-1, None, 5), (1, 3, 3), (2, 8, 1)])
@pytest.mark.parametrize("with_zero", [False, True])
def test_dequantizing_element_by_element(axis, block, count, with_zero, rng):
    codes = rng.integers(-128, 128, (3, 7, 5)).astype(np.int8)
    scale = rng.uniform(0.1, 300, count).astype(np.float32)
    zero = rng.integers(-128, 128, count).astype(np.int32) if with_zero else None
    got = Quantization(Int(8), axis, block, scale, zero).dequantize(codes)
    assert got.dtype == np.float32
    for index in np.ndindex(codes.shape):
        at = 0 if axis is None else index[axis] // (block or 1)
        shifted = np.float32(codes[index]) - np.float32(0 if zero is None else zero[at])
        assert got[index] == shifted / scale[at]


@pytest.mark.parametrize("arguments, message", [
    ((None, None, np.ones(2, np.float32)), "one element without an axis"),
    ((0, None, np.ones((1, 2), np.float32)), "Expected `scale` with one dimension"),
    ((0, None, np.ones(2, np.float32), np.zeros(3, np.int32)), "Expected `zero` of shape"),
    ((0, 0, np.ones(2, np.float32)), "Expected `block` >= 1 and an axis"),
    ((None, 4, np.ones(1, np.float32)), "Expected `block` >= 1 and an axis"),
])
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quantization(Int(8), *arguments)


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="Expected 3 scales along axis 1, got an array of shape"):
        Quantization(Int(8), 1, None, np.ones(3, np.float32)).dequantize(np.zeros((3, 4), np.int8))


@pytest.mark.parametrize("arguments", [("8",), (True,), (8.0,), (8, 1), (8, False, None)])
def test_integers_of_other_types_are_refused(arguments):
    with pytest.raises(TypeError, match="Expected `(bits|unsigned|narrow)` to be"):
        Int(*arguments)


@pytest.mark.parametrize("arguments, name", [
    ((8, None, None, np.ones(1, np.float32)), "format"), ((Int(8), "0", None, np.ones(1, np.float32)), "axis"),
    ((Int(8), 0, 2.0, np.ones(1, np.float32)), "block"), ((Int(8), None, None, [1.0]), "scale"),
    ((Int(8), None, None, np.ones(1)), "scale"), ((Int(8), None, None, np.ones(1, np.float32), 0), "zero"),
])
def test_other_types_are_refused(arguments, name):
    with pytest.raises(TypeError, match=f"`{name}`"):
        Quantization(*arguments)

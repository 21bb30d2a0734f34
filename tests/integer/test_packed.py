"""What packed weights refuse, and that they travel."""
import copy
import os
import pickle
import threading

import numpy as np
import pytest

from pytorch_quantization_c import _C
from pytorch_quantization_c.integer import Format, Geometry, Int, PackedWeights

from .cases import INT8, thread_count

PLAIN = Geometry(False, 1, (1, 1), (1, 1), (1, 1), (1, 1), (0, 0))


def linear(rng, k=20, outputs=6, f=None):
    w = rng.integers(-127, 128, (outputs, k)).astype(np.int8)
    return PackedWeights(w, np.full(outputs, 3, np.float32), Geometry(), f or INT8)


def convolution(rng, f=None):
    w = rng.integers(-127, 128, (5, 3, 3, 3)).astype(np.int8)
    return PackedWeights(w, np.full(5, 3, np.float32), PLAIN, f or INT8)


def refuses(packed, why, *args):
    """A call raises, and the layers' own way in answers with the reason."""
    with pytest.raises(TypeError if "float32 array" in why else ValueError, match=why):
        packed(*args)
    assert packed.product(*args) == why


def test_the_format_of_earlier_versions_is_still_taken(rng):
    w, x = rng.integers(-127, 128, (6, 20)).astype(np.int8), rng.standard_normal((2, 20)).astype(np.float32)
    old, new = (PackedWeights(w, np.float32(3), Geometry(), f) for f in (Format(4), Int(4, narrow=True)))
    assert old.input_format == new.input_format
    np.testing.assert_array_equal(old(x, 2.0), new(x, 2.0))


@pytest.mark.parametrize("at", [0, 7, 16, 19])
def test_nan_is_left_to_floats(at, rng):
    x = rng.standard_normal((3, 20)).astype(np.float32)
    x[1, at] = np.nan
    refuses(linear(rng), "amax is negative or not finite", x)
    refuses(linear(rng), "NaN in the input", x, 1.0)
    image = np.zeros((1, 3, 9, 20), np.float32)
    image[0, 2, 8, at] = np.nan
    refuses(convolution(rng), "NaN in the input", image, 1.0)


def test_infinity_saturates_with_a_given_range_only(rng):
    x = np.zeros((1, 20), np.float32)
    x[0, 3], x[0, 4] = np.inf, -np.inf
    packed = linear(rng)
    refuses(packed, "amax is negative or not finite", x)
    finite = np.where(np.isinf(x), np.sign(x), x).astype(np.float32)
    np.testing.assert_array_equal(packed(x, 1.0), packed(finite, 1.0))
    refuses(packed, "NaN in the input", x, 0.0)  # inf * 0


@pytest.mark.parametrize("amax", [0.0, 2.0**-24, 1e-30])
def test_a_range_of_zero_gives_the_bias(amax, rng):
    bias = rng.standard_normal(6).astype(np.float32)
    x = np.full((2, 20), amax, np.float32)
    for given in (None, amax):
        np.testing.assert_array_equal(linear(rng)(x, given, bias), np.tile(bias, (2, 1)))


def test_a_negative_input_of_an_unsigned_format_is_left_to_floats(rng):
    x = np.ones((1, 20), np.float32)
    x[0, 17] = -1
    refuses(linear(rng, f=Int(8, True)), "negative input", x, 1.0)
    x[0, 17] = -0.0
    assert isinstance(linear(rng, f=Int(8, True))(x, 1.0), np.ndarray)


@pytest.mark.parametrize("amax", [np.nan, np.inf, -1.0])
def test_ranges_that_are_none(amax, rng):
    refuses(linear(rng), "amax is negative or not finite", np.ones((1, 20), np.float32), amax)


def test_scales_beyond_float32_are_left_to_floats(rng):
    w = np.ones((2, 4), np.int8)
    x = np.ones((1, 4), np.float32)
    for scale in (1e38, 1e-38):
        packed = PackedWeights(w, np.float32(scale), Geometry(), INT8)
        amax = 1e-6 if scale > 1 else 1e37
        refuses(packed, "scales beyond the range of float32", x * np.float32(amax))


@pytest.mark.parametrize("x", [np.ones((2, 20)), np.ones((2, 20), np.float16), np.ones((2, 20), np.int32),
                               [[1.0] * 20]])
def test_other_dtypes_are_left_to_floats(x, rng):
    refuses(linear(rng), "the input is not a float32 array", x)


@pytest.mark.parametrize("shape", [(0, 20), (2, 21), ()])
def test_other_shapes_are_left_to_floats(shape, rng):
    with pytest.raises(ValueError, match="Expected an input and an amax that integers can compute with"):
        linear(rng)(np.ones(shape, np.float32))


def test_layouts_and_dimensions(rng):
    packed, x = linear(rng), rng.standard_normal((2, 3, 40)).astype(np.float32)
    expected = packed(np.ascontiguousarray(x[..., ::2]))
    assert expected.shape == (2, 3, 6)
    np.testing.assert_array_equal(packed(x[..., ::2]), expected)
    np.testing.assert_array_equal(packed(x[1, 1, ::2], np.abs(x[..., ::2]).max()), expected[1, 1])
    np.testing.assert_array_equal(packed(x[..., ::2].astype(">f4").astype("<f4")), expected)
    image = rng.standard_normal((3, 8, 9)).astype(np.float32)
    conv = convolution(rng)
    np.testing.assert_array_equal(conv(image)[None], conv(image[None]))
    np.testing.assert_array_equal(conv(np.asfortranarray(image)), conv(image))


def test_copies_and_pickles_answer_the_same(rng):
    packed, x = convolution(rng), rng.standard_normal((2, 3, 8, 9)).astype(np.float32)
    for other in (copy.deepcopy(packed), copy.copy(packed), pickle.loads(pickle.dumps(packed))):
        np.testing.assert_array_equal(other(x), packed(x))


def test_two_threads_at_once(rng):
    packed, x = convolution(rng), rng.standard_normal((4, 3, 80, 90)).astype(np.float32)
    other, z = linear(rng, 300, 200), rng.standard_normal((300, 300)).astype(np.float32)
    expected, wrong = (packed(x), other(z)), []

    def run():
        for _ in range(20):
            if not (np.array_equal(packed(x), expected[0]) and np.array_equal(other(z), expected[1])):
                wrong.append(1)

    with thread_count(2):
        workers = [threading.Thread(target=run) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2] if hasattr(os, "fork") else [])
def test_fork_after_use(threads, rng):
    packed, x = linear(rng, 500, 400), rng.standard_normal((300, 500)).astype(np.float32)
    with thread_count(threads):
        expected = packed(x)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(packed(x), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
        np.testing.assert_array_equal(packed(x), expected)


def packed_with(**changes):
    arguments = {"weight": np.ones((4, 2, 3), np.int8), "scale": np.ones(4, np.float32), "transposed": False,
                 "groups": 1, "stride": (1,), "before": (0,), "after": (0,), "dilation": (1,), "output_padding": (0,),
                 "num_bits": 8, "unsigned": False, "narrow_range": True} | changes
    return _C.integer_pack(*arguments.values())


@pytest.mark.parametrize("changes, error, text", [
    ({"weight": np.ones((4, 2, 3))}, ValueError, "Expected `weight` to be int8 or uint8"),
    ({"weight": [1]}, TypeError, "Expected `weight` to be an array"),
    ({"weight": np.ones((4, 0, 3), np.int8)}, ValueError, "not empty"),
    ({"scale": np.ones(3, np.float32)}, ValueError, "Expected `scale` to have 4 elements, got 3"),
    ({"groups": 3}, ValueError, "Expected `groups` to divide 4"),
    ({"groups": 0}, ValueError, "groups"),
    ({"stride": (0,)}, ValueError, "stride"),
    ({"stride": (1, 1)}, ValueError, "Expected `stride` to be a tuple of 1 integers"),
    ({"dilation": 1}, ValueError, "dilation"),
    ({"before": (-1,)}, ValueError, "padding before"),
    ({"num_bits": 9}, ValueError, "num_bits"),
    ({"num_bits": 1}, ValueError, "num_bits"),
])
def test_errors_name_the_argument(changes, error, text):
    with pytest.raises(error, match=text):
        packed_with(**changes)


def test_errors_of_a_call(rng):
    x = np.ones((2, 20), np.float32)
    with pytest.raises(ValueError, match="Expected `bias` to be 6 float32"):
        linear(rng)(x, None, np.ones(5, np.float32))
    with pytest.raises(ValueError, match="Expected `amax` to have one element, got 2"):
        linear(rng)(x, np.ones(2, np.float32))
    with pytest.raises(ValueError):
        _C.integer_run(object(), x, None, None)


def test_memory_exhaustion_is_a_memory_error():
    with pytest.raises(MemoryError):
        packed_with(weight=np.lib.stride_tricks.as_strided(np.ones(1, np.int8), (2**21, 2**20, 2**20), (0, 0, 0)),
                    scale=np.ones(2**21, np.float32))

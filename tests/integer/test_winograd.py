"""3 x 3 layers of enough channels go through Winograd's products on some instruction sets: the same exact sums."""
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch_quantization_c import isa
from pytorch_quantization_c.integer import Geometry, Int, PackedWeights

from . import oracle
from .cases import INT8, ISAS, floats, formats, integers, kinds, seeds, thread_count
from .test_exact import check


def geometry(padding, groups=1):
    before, after = padding
    return Geometry(False, groups, (1, 1), before, after, (1, 1), (0, 0))


def check_layer(x, w, padding=((1, 1), (1, 1)), groups=1, fx=None, amax=0.7):
    g = geometry(padding, groups)
    check(w, x, g, fx or INT8, np.random.default_rng(0), lambda a, b: oracle.conv(a, b, g), 1, amax)


@settings(max_examples=150)
@given(st.data(), formats, formats, kinds, kinds, seeds)
def test_any_shape(data, fx, fw, kind_x, kind_w, seed):
    rng, sides = np.random.default_rng(seed), st.integers(0, 3)
    padding = data.draw(st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
    groups, batch = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    cin, cout = data.draw(st.integers(14, 40)), data.draw(st.integers(14, 70))
    height, width = data.draw(st.integers(3, 14)), data.draw(st.integers(3, 30))
    w = integers(rng, kind_w, (cout * groups, cin, 3, 3), fw)
    check_layer(floats(rng, kind_x, (batch, cin * groups, height, width), 0.7, fx), w, padding, groups, fx)


@pytest.mark.parametrize("cin, cout, height, width", [
    (64, 64, 56, 56), (16, 16, 3, 300), (16, 33, 131, 4), (300, 20, 9, 9), (520, 160, 7, 7), (128, 200, 14, 15)])
def test_patches_and_parts(cin, cout, height, width, rng):
    w = integers(rng, "normal", (cout, cin, 3, 3), INT8)
    check_layer(floats(rng, "normal", (1, cin, height, width), 1, INT8), w, amax=None)


def test_threads_and_small_images(rng):
    g, fx = geometry(((1, 1), (1, 1))), INT8
    w, scale = integers(rng, "normal", (48, 32, 3, 3), fx), np.full(48, 1, np.float32)
    packed = []
    for names in ISAS:
        with isa.only(*names):
            packed.append(PackedWeights(w, scale, g, fx))
    for batch, size in ((1, 40), (30, 9)):
        x = floats(rng, "normal", (batch, 32, size, size), 0.7, fx)
        sums = oracle.conv(oracle.quantized(x, 0.7, fx), w.astype(np.int64), g)
        expected = oracle.dequantized(sums, oracle.scale_of(np.float32(0.7), fx), scale, np.zeros(48, np.float32), 1)
        for count, (names, each) in product(range(1, 5), zip(ISAS, packed, strict=True)):
            with thread_count(count), isa.only(*names):
                np.testing.assert_array_equal(each(x, 0.7, None), expected)


# The last number of channels for which 4 or 64 times the sum fits into 32 bits whatever the weights, and the next one.
@pytest.mark.parametrize("channels, size", [(1827, 4), (1828, 4), (114, 20), (115, 20)])
@pytest.mark.parametrize("low, high", [(-128, -128), (127, 127), (-128, 127)])
def test_largest_sums(channels, size, low, high):
    fx = Int(8, True)
    w = np.where(np.arange(9).reshape(3, 3) % 2 == 0, low, high) * np.ones((17, channels, 1, 1))
    x = np.full((1, channels, size, size), 0.7, np.float32)
    check_layer(x, w.astype(np.int8), fx=fx)


def test_more_channels_than_one_chunk(rng):
    """Light weights, so that the sums fit; but they are taken in two parts."""
    w = rng.integers(-1, 2, (16, 7300, 3, 3)).astype(np.int8)
    check_layer(floats(rng, "normal", (1, 7300, 6, 6), 1, INT8), w)

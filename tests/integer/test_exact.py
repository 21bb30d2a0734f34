"""Integer layers against int64 NumPy: the same bits on every instruction set and number of threads."""
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytorch_quantization_c.integer import Geometry, Int, PackedWeights

from . import oracle
from .cases import INT8, floats, formats, geometries, integers, kinds, on_every_isa, seeds


def check(w, x, g, fx, rng, product, channel_axis, amax=None, times=1):
    """amax None: in flight."""
    outputs = w.shape[1] * g.groups if g.transposed else w.shape[0]
    scale = rng.uniform(0.01, 100, outputs).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    range_ = np.abs(x).max() if amax is None else np.float32(amax)
    xq = oracle.quantized(x, range_, fx) if range_ > 2**-24 else np.zeros(x.shape, np.int64)
    scale_x = oracle.scale_of(range_, fx) if range_ > 2**-24 else np.float32(1)
    expected = oracle.dequantized(product(xq, w.astype(np.int64)), scale_x, scale, bias, channel_axis)
    kept = x.copy()
    for y in on_every_isa(lambda: PackedWeights(w, scale, g, fx), lambda layer: layer(x, amax, bias), times):
        assert isinstance(y, np.ndarray), y
        assert y.shape == expected.shape and y.dtype == np.float32
        np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(x, kept)


@settings(max_examples=150)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150), formats, formats, kinds, kinds, seeds,
       st.booleans())
def test_linear(rows, k, outputs, fx, fw, kind_x, kind_w, seed, in_flight):
    rng = np.random.default_rng(seed)
    w = integers(rng, kind_w, (outputs, k), fw)
    x = floats(rng, kind_x, (rows, k), 0.7, fx)
    check(w, x, Geometry(), fx, rng, oracle.linear, -1, None if in_flight else 0.7)


@settings(max_examples=250)
@given(st.data(), st.integers(1, 3), formats, formats, kinds, kinds, seeds, st.booleans())
def test_convolution(data, axes, fx, fw, kind_x, kind_w, seed, in_flight):
    g = data.draw(geometries(axes, False))
    kernel = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    sizes = tuple(max(1, d * (k - 1) + 1 - a - b) + data.draw(st.integers(0, 9 if axes == 3 else 20))
                  for d, k, a, b in zip(g.dilation, kernel, g.before, g.after, strict=True))
    cin, cout = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(seed)
    w = integers(rng, kind_w, (cout * g.groups, cin, *kernel), fw)
    x = floats(rng, kind_x, (data.draw(st.integers(1, 3)), cin * g.groups, *sizes), 0.7, fx)
    check(w, x, g, fx, rng, lambda a, b: oracle.conv(a, b, g), 1, None if in_flight else 0.7)


@settings(max_examples=150)
@given(st.data(), st.integers(1, 3), formats, formats, kinds, kinds, seeds)
def test_transposed_convolution(data, axes, fx, fw, kind_x, kind_w, seed):
    g = data.draw(geometries(axes, True))
    kernel = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    sizes = tuple(data.draw(st.integers(1, 6)) + (2 * a) // s
                  for a, s in zip(g.before, g.stride, strict=True))
    full = [(n - 1) * s + d * (k - 1) + 1 + e - 2 * p for n, s, d, k, e, p in
            zip(sizes, g.stride, g.dilation, kernel, g.output_padding, g.before, strict=True)]
    assume(min(full) >= 1)
    cin, cout = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(seed)
    w = integers(rng, kind_w, (cin * g.groups, cout, *kernel), fw)
    x = floats(rng, kind_x, (data.draw(st.integers(1, 2)), cin * g.groups, *sizes), 0.7, fx)
    check(w, x, g, fx, rng, lambda a, b: oracle.conv_transpose(a, b, g), 1)


@pytest.mark.parametrize("kind", ["extreme", "alternating", "positive", "normal"])
@pytest.mark.parametrize("fx, fw", [(Int(8, True), Int(8)),
                                    (Int(8), Int(8)),
                                    (Int(8, True), Int(8, True))])
def test_sums_beyond_32_bits(kind, fx, fw, rng):
    w = integers(rng, kind, (3, 70_000), fw)
    x = floats(rng, "extreme" if kind == "extreme" else "positive", (2, 70_000), 0.7, fx)
    check(w, x, Geometry(), fx, rng, oracle.linear, -1, 0.7)
    check(w, x[1:], Geometry(), fx, rng, oracle.linear, -1, 0.7)


def test_long_sums_of_a_convolution(rng):
    fx, g = Int(8, True), Geometry(False, 1, (1,), (1,), (1,), (1,), (0,))
    w = integers(rng, "positive", (2, 25_000, 3), Int(8))
    x = floats(rng, "positive", (1, 25_000, 3), 0.7, fx)
    check(w, x, g, fx, rng, lambda a, b: oracle.conv(a, b, g), 1, 0.7)


@pytest.mark.parametrize("shape, weight, padding", [
    ((1, 64, 30, 31), (96, 64, 3, 3), 1), ((1, 3, 60, 61), (32, 3, 7, 7), 3), ((2, 70, 14, 14), (130, 70, 1, 1), 0)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_several_tiles_and_blocks(shape, weight, padding, stride, rng):
    g = Geometry(False, 1, (stride, stride), (padding,) * 2, (padding,) * 2, (1, 1), (0, 0))
    w = integers(rng, "normal", weight, INT8)
    check(w, floats(rng, "normal", shape, 1, INT8), g, INT8, rng, lambda a, b: oracle.conv(a, b, g), 1)


@pytest.mark.parametrize("kernel, before, after", [(3, 1, 1), (3, 0, 2), (3, 4, 5), (5, 2, 2), (7, 3, 3), (2, 1, 0),
                                                   (3, 9, 9), (8, 3, 4), (9, 4, 4)])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("fx", [INT8, Int(8, True)])
def test_rows_of_taps_that_lie_on_padding(kernel, before, after, stride, dilation, fx, rng):
    g = Geometry(False, 2, (stride,) * 2, (before, 1), (after, 1), (dilation, 1), (0, 0))
    rows = max(1, dilation * (kernel - 1) + 1 - before - after)
    w = integers(rng, "normal", (140, 10, kernel, 3), INT8)
    for height in (rows, rows + 1, rows + 6, rows + 12):
        x = floats(rng, "normal", (1, 20, height, 8), 1, fx)
        check(w, x, g, fx, rng, lambda a, b: oracle.conv(a, b, g), 1)


@pytest.mark.parametrize("outputs", [1024, 1000])
@pytest.mark.parametrize("fw", [INT8, Int(8, True)])
def test_one_row_shared_by_threads(outputs, fw, rng):
    w = integers(rng, "normal", (outputs, 1030), fw)
    check(w, floats(rng, "normal", (1, 1030), 1, INT8), Geometry(), INT8, rng, oracle.linear, -1, times=40)


@pytest.mark.parametrize("rows, k, outputs", [(1, 768, 256), (8, 512, 512), (200, 300, 190), (700, 2000, 20)])
def test_larger_linear_layers(rows, k, outputs, rng):
    w = integers(rng, "normal", (outputs, k), INT8)
    check(w, floats(rng, "normal", (rows, k), 1, INT8), Geometry(), INT8, rng, oracle.linear, -1)


@pytest.mark.parametrize("weight, groups", [((32, 16, 3, 3), 1), ((48, 1, 3, 3), 48), ((48, 1, 5, 5), 48),
                                            ((40, 16, 1, 1), 1), ((8, 1, 5, 5), 1)])
def test_many_small_images(weight, groups, rng):
    g = Geometry(False, groups, (1, 1), (1, 1), (1, 1), (1, 1), (0, 0))
    w = integers(rng, "normal", weight, INT8)
    x = floats(rng, "normal", (50, weight[1] * groups, 15, 13), 1, INT8)
    check(w, x, g, INT8, rng, lambda a, b: oracle.conv(a, b, g), 1)


@pytest.mark.parametrize("before", [0, 1])
def test_depthwise_of_one_layer_whose_output_may_see_padding_alone(before, rng):
    g = Geometry(False, 2, (3, 1, 1), (before, 1, 1), (before, 1, 1), (1, 1, 1), (0, 0, 0))
    w = integers(rng, "normal", (2, 1, 1, 3, 3), INT8)
    x = floats(rng, "normal", (1, 2, 1, 6, 9), 1, INT8)
    check(w, x, g, INT8, rng, lambda a, b: oracle.conv(a, b, g), 1)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3), (4, 1), (1, 4), (1, 5)])
def test_depthwise(kernel, stride, dilation, rng):
    g = Geometry(False, 3, (stride,) * 2, (2, 3), (1, 2), (dilation,) * 2, (0, 0))
    size = dilation * (kernel - 1) + 1
    for width in (0, 3, 17, 40):
        w = integers(rng, "normal", (6 if width == 3 else 3, 1, kernel, kernel), Int(8, True))
        x = floats(rng, "normal", (2, 3, size + 7, size + width), 1, INT8)
        check(w, x, g, INT8, rng, lambda a, b: oracle.conv(a, b, g), 1)


@pytest.mark.parametrize("size", [(256, 272), (259, 277)])
def test_outputs_larger_than_the_caches(size, rng):
    """Written around them where the lanes are pixels; any alignment of the channels."""
    g = Geometry(False, 1, (1, 1), (0, 0), (0, 0), (1, 1), (0, 0))
    w = integers(rng, "normal", (67, 5, 1, 1), INT8)
    x = floats(rng, "normal", (1, 5, *size), 1, INT8)
    check(w, x, g, INT8, rng, lambda a, b: oracle.conv(a, b, g), 1)

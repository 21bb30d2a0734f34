"""Layers on a matrix unit, in each of the ways it takes them: the same exact sums as on every other instruction set."""
import numpy as np
import pytest

from pytorch_quantization_c import isa
from pytorch_quantization_c.integer import Geometry, Int, PackedWeights

from . import oracle
from .cases import INT8, ISAS, floats, integers, on_every_isa, thread_count
from .test_exact import check

FORMATS = [(INT8, INT8), (Int(8, True), Int(8))]


def geometry(axes, stride=1, padding=0, dilation=1, groups=1, transposed=False, extra=0):
    def each(n):
        return n if isinstance(n, tuple) else (n,) * axes

    return Geometry(transposed, groups, each(stride), each(padding), each(padding), each(dilation), each(extra))


def product_of(g):
    if not g.stride:
        return oracle.linear
    return lambda x, w: (oracle.conv_transpose if g.transposed else oracle.conv)(x, w, g)


# The image and weight in the layer's own order, and the rest of its geometry.
STRAIGHT = [  # input channels in multiples of 64: quads lie equally apart in the image
    ((1, 64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    ((3, 64, 9, 11), (37, 64, 3, 3), {"padding": 1}),
    ((2, 128, 15, 13), (40, 128, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 64, 20, 33), (70, 64, 1, 1), {}),
    ((1, 192, 7, 7), (33, 192, 3, 3), {"padding": 2, "dilation": 2}),
    ((2, 128, 9, 9), (24, 64, 3, 3), {"padding": 1, "groups": 2}),
    ((1, 512, 7, 7), (48, 512, 3, 3), {"padding": 1}),
    ((2, 2048, 7, 7), (20, 2048, 1, 1), {}),
    ((1, 64, 300), (18, 64, 5), {"padding": 2}),
    ((1, 64, 5, 6, 7), (20, 64, 3, 3, 3), {"padding": 1}),
    ((1, 64, 9, 8), (20, 64, 3, 1), {"stride": (2, 3)}),
]
PANEL = [  # other numbers: quads are put together first
    ((1, 4, 9, 9), (5, 4, 3, 3), {"padding": 1}),
    ((2, 5, 14, 15), (16, 5, 3, 3), {"padding": 1}),
    ((1, 40, 28, 27), (44, 40, 3, 3), {"padding": 1}),
    ((1, 68, 14, 14), (31, 68, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 300, 9, 9), (20, 300, 3, 3), {"padding": 1}),
    ((1, 519, 8, 8), (260, 519, 3, 3), {"padding": 1}),  # weights larger than the second cache
    ((1, 2044, 7, 7), (150, 2044, 1, 1), {}),
    ((2, 24, 12, 12), (27, 8, 3, 3), {"padding": 1, "groups": 3}),
    ((1, 16, 2000), (32, 16, 5), {"padding": 2}),
    ((1, 20, 6, 7, 8), (17, 20, 2, 3, 3), {"padding": 1, "dilation": (1, 2, 1)}),
    ((1, 20, 9, 11), (17, 20, 3, 3), {"padding": (0, 2), "stride": (3, 2), "dilation": (1, 3)}),
]
GATHERED = [  # more border than pixels: one by one
    ((2, 64, 20, 9), (20, 64, 1, 9), {}),
    ((1, 20, 37, 15), (33, 20, 3, 15), {}),
    ((1, 64, 12, 3, 25), (20, 64, 2, 2, 24), {}),
    ((3, 8, 6, 40), (70, 8, 1, 39), {}),
    ((1, 12, 5, 4, 9), (6, 12, 1, 4, 9), {"padding": (1, 0, 0)}),
]
COLUMNS = [  # few input channels: taps along a row in place of channels
    ((1, 3, 40, 45), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 1, 28, 28), (6, 1, 5, 5), {}),
    ((1, 1, 20, 33), (70, 1, 5, 5), {"padding": 2}),
    ((1, 3, 20, 50), (17, 3, 4, 4), {"stride": 4}),
    ((1, 2, 20, 30), (5, 2, 4, 3), {"dilation": 4}),
    ((1, 1, 3000), (16, 1, 80), {"stride": 4, "padding": 38}),
    ((1, 1, 8, 9, 40), (20, 1, 3, 3, 3), {"stride": (2, 1, 3), "padding": 1}),
]
TRANSPOSED = [
    ((1, 64, 9, 8), (64, 24, 4, 4), {"stride": 2, "padding": 1}),
    ((2, 20, 7, 9), (20, 33, 3, 3), {"stride": 2, "padding": 1, "extra": 1}),
    ((1, 64, 6, 7), (64, 20, 3, 3), {"stride": 3}),
    ((1, 24, 6, 5), (24, 16, 5, 5), {"stride": 3, "padding": 2, "dilation": 2, "groups": 2}),
    ((1, 40, 6, 6), (40, 20, 2, 2), {"stride": 3, "extra": 2}),  # outputs without a single tap
    ((1, 40, 1, 1), (40, 16, 2, 2), {"stride": 3}),  # and phases without outputs
    ((1, 64, 50), (64, 7, 4), {"stride": 2, "padding": 1}),
    ((1, 64, 6, 5), (64, 17, 3, 1), {"stride": (2, 1)}),  # neighbours in the image that are none in the output
    ((1, 20, 3, 4, 5), (20, 17, 4, 1, 1), {"stride": (3, 1, 1)}),
    ((1, 8, 3, 4, 5), (8, 20, 3, 2, 3), {"stride": (2, 1, 3)}),
    ((1, 64, 9, 9), (64, 48, 3, 3), {"padding": 1}),
]
SMALL = [  # shared out among the threads
    ((24, 64, 6, 6), (16, 64, 3, 3), {"padding": 1}),
    ((30, 6, 14, 14), (16, 6, 5, 5), {}),
    ((30, 1, 28, 28), (6, 1, 5, 5), {}),
    ((20, 16, 3, 19), (20, 16, 1, 19), {}),
]


@pytest.mark.parametrize("transposed, shape, weight, rest", [
    (cases is TRANSPOSED, *case) for cases in (STRAIGHT, PANEL, GATHERED, COLUMNS, TRANSPOSED, SMALL)
    for case in cases], ids=str)
def test_ways_of_a_convolution(transposed, shape, weight, rest, rng):
    g = geometry(len(shape) - 2, transposed=transposed, **rest)
    for (fx, fw), kind in zip(FORMATS, ("normal", "alternating"), strict=True):
        check(integers(rng, kind, weight, fw), floats(rng, kind, shape, 0.7, fx), g, fx, rng, product_of(g), 1, 0.7)


@pytest.mark.parametrize("cin", [5, 64])
def test_output_channels(cin, rng):
    g = geometry(2, padding=1)
    for cout in range(1, 71):
        w = integers(rng, "normal", (cout, cin, 3, 3), INT8)
        check(w, floats(rng, "normal", (1, cin, 5, 7), 0.7, INT8), g, INT8, rng, product_of(g), 1)


@pytest.mark.parametrize("width", range(1, 36))
def test_widths(width, rng):
    for cin, kernel, stride in ((64, 3, 1), (20, 3, 1), (1, 5, 2)):
        g = geometry(2, stride=stride, padding=kernel // 2)
        x = floats(rng, "normal", (1, cin, 1 + width % 5, width), 0.7, INT8)
        check(integers(rng, "normal", (18, cin, kernel, kernel), INT8), x, g, INT8, rng, product_of(g), 1)


@pytest.mark.parametrize("rows", range(1, 71))
def test_rows_of_a_linear_layer(rows, rng):
    k, outputs = [(64, 64), (100, 50), (130, 150), (29, 4), (77, 37)][rows % 5]
    for fx, fw in FORMATS:
        w = integers(rng, "normal", (outputs, k), fw)
        check(w, floats(rng, "normal", (rows, k), 0.7, fx), Geometry(), fx, rng, oracle.linear, -1, 0.7)


@pytest.mark.parametrize("rows", [1, 2, 33])
def test_lengths_of_a_linear_layer(rows, rng):
    for k in (*range(25, 100), 768, 2048, 3001):
        w = integers(rng, "normal", (21, k), INT8)
        check(w, floats(rng, "normal", (rows, k), 0.7, INT8), Geometry(), INT8, rng, oracle.linear, -1)


@pytest.mark.parametrize("width", [32, 36])
def test_outputs_larger_than_the_caches(width, rng):
    g = geometry(2)
    w = integers(rng, "normal", (67, width, 1, 1), INT8)
    check(w, floats(rng, "normal", (1, width, 259, 256), 1, INT8), g, INT8, rng, product_of(g), 1)


@pytest.mark.parametrize("row", [0, 15, 16, 32])
@pytest.mark.parametrize("column", [0, 63, 64, 99])
def test_what_a_linear_layer_refuses(row, column, rng):
    for value, why in ((np.nan, "NaN in the input"), (-1, "negative input")):
        x = np.ones((33, 100), np.float32)
        x[row, column] = value
        for got in on_every_isa(lambda x=x: PackedWeights(np.ones((4, 100), np.int8), np.float32(1), Geometry(),
                                                          Int(8, True)).product(x, 1.0)):
            assert got == why


LARGEST = 16_384 * 4  # products of a sum that is taken at once


@pytest.mark.parametrize("low, high", [(-128, -128), (127, 127), (-128, 127)])
@pytest.mark.parametrize("more", [0, 1])
def test_largest_sums(low, high, more, rng):
    fx, k = Int(8, True), LARGEST + more
    w = np.where(np.arange(20 * k).reshape(20, k) % 2 == 0, low, high).astype(np.int8)
    x = np.full((6, k), 0.7, np.float32)
    check(w, x, Geometry(), fx, rng, oracle.linear, -1, 0.7)
    g = geometry(2)
    check(w[..., None, None], x[:2, :, None, None], g, fx, rng, product_of(g), 1, 0.7)


KINDS = [((7, 100), (50, 100), Geometry()),
         ((1, 100), (50, 100), Geometry()),
         ((2, 64, 9, 9), (40, 64, 3, 3), geometry(2, padding=1)),
         ((1, 20, 9, 9), (17, 20, 3, 3), geometry(2, stride=2)),
         ((1, 3, 20, 21), (24, 3, 7, 7), geometry(2, stride=2, padding=3)),
         ((1, 40, 9, 9), (17, 40, 1, 1), geometry(2)),
         ((1, 20, 9, 9), (20, 17, 3, 3), geometry(2, stride=2, transposed=True)),
         ((1, 20, 9, 9), (20, 1, 3, 3), geometry(2, padding=1, groups=20)),
         ((30, 1, 28, 28), (6, 1, 5, 5), geometry(2))]


@pytest.mark.parametrize("shape, weight, g", KINDS, ids=lambda value: str(value) if len(value) < 6 else "")
@pytest.mark.parametrize("threads", [1, 3])
def test_packed_for_one_and_run_by_another(shape, weight, g, threads, rng):
    """Whatever was selected when a layer was packed, and is now."""
    f = INT8
    w, scale = integers(rng, "normal", weight, f), np.float32(3)
    x = floats(rng, "normal", shape, 0.7, f)
    sums = product_of(g)(oracle.quantized(x, 0.7, f), w.astype(np.int64))
    outputs = w.shape[1] * g.groups if g.transposed else w.shape[0]
    bias = rng.standard_normal(outputs).astype(np.float32)
    expected = oracle.dequantized(sums, oracle.scale_of(0.7, f), np.full(outputs, scale), bias, 1)
    sets = [*ISAS, *[(name,) for name in isa.available()]]
    for when_packed in sets:
        with isa.only(*when_packed):
            packed = PackedWeights(w, scale, g, f)
        for now in sets:
            with isa.only(*now), thread_count(threads):
                np.testing.assert_array_equal(packed(x, 0.7, bias), expected, f"{when_packed}, then {now}")

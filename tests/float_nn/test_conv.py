"""Convolutions and their adjoints against loops over the definition in float64."""
import math

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F


def naive_conv(x, w, stride, padding, dilation, groups):
    """y[n, o, p] = sum over c, k of x[n, c, p * stride + k * dilation - padding] * w[o, c, k]."""
    spatial = x.ndim - 2
    padded = np.zeros((*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))))
    padded[(..., *(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)))] = x
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in
           zip(x.shape[2:], padding, dilation, w.shape[2:], stride, strict=True)]
    y = np.zeros((len(x), len(w), *out))
    per = len(w) // groups
    for o in range(len(w)):
        channels = slice(o // per * w.shape[1], (o // per + 1) * w.shape[1])
        for p in np.ndindex(*out):
            cut = tuple(slice(p[i] * stride[i], p[i] * stride[i] + dilation[i] * (w.shape[2 + i] - 1) + 1, dilation[i])
                        for i in range(spatial))
            y[(slice(None), o, *p)] = (padded[(slice(None), channels, *cut)] * w[o]).sum(tuple(range(1, spatial + 2)))
    return y


def configurations(rng, spatial, count):
    """Random sizes, kernels, strides, paddings, dilations, groups that fit together."""
    while count:
        size, kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, high, spatial))
                                          for high in (9 if spatial < 3 else 6, 4, 4, 3))
        padding = tuple(int(n) for n in rng.integers(0, 3, spatial))
        if all(n + 2 * p >= d * (k - 1) + 1 for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
            count -= 1
            groups, inner, outer, batch = (int(n) for n in rng.integers(1, 4, 4))
            yield (batch, groups * inner, *size), (groups * outer, inner, *kernel), stride, padding, dilation, groups


FUNCTIONS = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d), 3: (F.conv3d, F.conv_transpose3d)}


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("dtype, limit", [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_convolution(spatial, dtype, limit, rng):
    for shape, kernel, *options in configurations(rng, spatial, 25):
        x, w = rng.normal(size=shape).astype(dtype), rng.normal(size=kernel).astype(dtype)
        bias = rng.normal(size=len(w)).astype(dtype)
        y = FUNCTIONS[spatial][0](x, w, bias, *options)
        wanted = naive_conv(x.astype(float), w.astype(float), *options) + bias.reshape(-1, *(1,) * spatial)
        assert y.dtype == dtype and y.shape == wanted.shape
        np.testing.assert_allclose(y, wanted, rtol=0, atol=limit * max(1, np.abs(wanted).max()))
        alone = FUNCTIONS[spatial][0](x[0], w, bias, *options)
        np.testing.assert_allclose(alone, y[0], rtol=0, atol=limit * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_transposed_convolution_is_the_adjoint(spatial, rng):
    """<conv(x), y> = <x, conv_transpose(y)>; integers, so that nothing is rounded."""
    for shape, kernel, stride, padding, dilation, groups in configurations(rng, spatial, 25):
        x, w = (rng.integers(-4, 5, size).astype(np.float32) for size in (shape, kernel))
        image = naive_conv(x, w, stride, padding, dilation, groups)
        y = rng.integers(-4, 5, image.shape).astype(np.float32)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in
                 zip(y.shape[2:], stride, padding, dilation, kernel[2:], strict=True)]
        extra = tuple(n - m for n, m in zip(shape[2:], least, strict=True))
        if min(least) < 1 or any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
            continue
        back = FUNCTIONS[spatial][1](y, w, None, stride, padding, extra, groups, dilation)
        assert back.shape == x.shape
        assert (image * y).sum() == (x * back).sum()
        bias = rng.integers(-4, 5, x.shape[1]).astype(np.float32)
        with_bias = FUNCTIONS[spatial][1](y, w, bias, stride, padding, extra, groups, dilation)
        np.testing.assert_array_equal(with_bias - back, np.broadcast_to(bias.reshape(-1, *(1,) * spatial), x.shape))


def test_many_images_and_one_give_the_same(rng):
    """However images are taken together."""
    w = rng.integers(-3, 4, (6, 2, 3, 3)).astype(np.float32)
    for count, size in ((1, 40), (70, 9), (3, 60), (1000, 3)):
        x = rng.integers(-3, 4, (count, 4, size, size)).astype(np.float32)
        y = F.conv2d(x, w, None, 1, 1, 1, 2)
        for number in {0, count // 2, count - 1}:
            np.testing.assert_array_equal(y[number], F.conv2d(x[number], w, None, 1, 1, 1, 2))


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transposed_convolution_of_no_images(kernel, stride, dtype):
    """By blocks, or not."""
    y = F.conv_transpose2d(np.zeros((0, 3, 4, 5), dtype), np.zeros((3, 2, kernel, kernel), dtype), stride=stride)
    assert y.shape == (0, 2, 3 * stride + kernel, 4 * stride + kernel) and y.dtype == dtype


def test_output_padding_after_a_kernel_of_one():
    y = F.conv_transpose1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), np.full(1, 5.0), output_padding=2, dilation=3)
    assert y.tolist() == [[[6, 6, 6, 5, 5]]]


def test_padding_by_name(rng):
    x, w = rng.normal(size=(2, 1, 7, 8)), rng.normal(size=(1, 1, 2, 4))
    assert F.conv2d(x, w, padding="valid").shape == (2, 1, 6, 5)
    wide = np.pad(x, ((0, 0), (0, 0), (0, 1), (3, 3)))  # dilation 2 makes the kernel reach 3 by 7: 1 + 1, 3 + 3
    np.testing.assert_array_equal(F.conv2d(x, w, padding="same", dilation=(1, 2)), F.conv2d(wide, w, dilation=(1, 2)))


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes(mode, numpy_mode, rng):
    layer = nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode=mode)
    x = rng.normal(size=(2, 2, 5, 6)).astype(np.float32)
    wide = np.pad(x, ((0, 0), (0, 0), (2, 2), (1, 1)), mode=numpy_mode)
    np.testing.assert_array_equal(layer(x), F.conv2d(wide, layer.weight, layer.bias))
    np.testing.assert_array_equal(layer(x[1]), layer(x)[1])


@pytest.mark.parametrize("layer, output_size, shape", [
    (nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), (10, 11), (2, 3, 10, 11)),
    (nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), (2, 3, 9, 13), None),
    (nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), (2, 3, 10, 11), (2, 3, 10, 11)),
    (nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), (10,), None)])
def test_output_size(layer, output_size, shape):
    x = np.ones((2, 2, 5, 6), np.float32)
    if shape is None:
        with pytest.raises(ValueError, match="output size|output_size"):
            layer(x, output_size)
    else:
        y = layer(x, output_size)
        assert y.shape == shape
        np.testing.assert_array_equal(y[:, :, :9], layer(x, (9, 11)))


def test_first_numbers_stay_within_their_bounds():
    nn.manual_seed(3)
    layer = nn.Conv2d(8, 40, 3, groups=2)
    bound = 1 / math.sqrt(4 * 9)
    for parameter in (layer.weight, layer.bias):
        assert 0.9 * bound < np.abs(parameter).max() <= bound
    nn.manual_seed(3)
    np.testing.assert_array_equal(nn.Conv2d(8, 40, 3, groups=2).weight, layer.weight)


@pytest.mark.parametrize("error, text, call", [
    (TypeError, "`input` of a floating type, got int32",
     lambda: F.conv1d(np.ones((1, 1, 3), np.int32), np.ones((1, 1, 1)))),
    (TypeError, "`input` is float32, the layer.s weights are float64: `x.astype\\(np.float64\\)`",
     lambda: F.conv1d(np.ones((1, 1, 3), np.float32), np.ones((1, 1, 1)))),
    (ValueError, r"3D \(unbatched\) or 4D", lambda: F.conv2d(np.ones((2, 2)), np.ones((1, 1, 1, 1)))),
    (ValueError, "4D `weight`", lambda: F.conv2d(np.ones((1, 2, 2)), np.ones((1, 1, 1)))),
    (ValueError, "weight of size.*2 channels", lambda: F.conv2d(np.ones((1, 2, 2)), np.ones((1, 2, 1, 1)))),
    (ValueError, "`stride` >= 1, got 0", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), stride=0)),
    (ValueError, "`padding` >= 0, got -1", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), padding=-1)),
    (ValueError, "one integer or 2, got 3",
     lambda: F.conv2d(np.ones((1, 2, 2)), np.ones((1, 1, 1, 1)), stride=(1, 1, 1))),
    (TypeError, "integer `dilation`, got 1.5", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), dilation=1.5)),
    (TypeError, "integer `groups`, got True", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), groups=True)),
    (ValueError, r"`bias` of shape \(1,\)", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), np.ones(2))),
    (ValueError, "kernel no larger", lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 4)))),
    (ValueError, "'same' or 'valid', got 'sane'",
     lambda: F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), padding="sane")),
    (ValueError, "output_padding",
     lambda: F.conv_transpose1d(np.ones((1, 1, 3)), np.ones((1, 1, 1)), output_padding=1)),
    (ValueError, "in_channels must be divisible", lambda: nn.Conv1d(3, 4, 1, groups=2)),
    (ValueError, "padding_mode", lambda: nn.Conv1d(3, 4, 1, padding_mode="ones")),
    (TypeError, "integer `kernel_size`", lambda: nn.Conv1d(3, 4, "a")),
    (TypeError, "floating `dtype`", lambda: nn.Conv1d(3, 4, 1, dtype=np.int8)),
    (ValueError, "device", lambda: nn.Conv1d(3, 4, 1, device="cuda")),
])
def test_bad_arguments(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_a_huge_kernel_is_refused_without_being_made():
    with pytest.raises(ValueError, match="no larger"):
        F.conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 2)), dilation=1 << 40)

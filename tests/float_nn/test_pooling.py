"""Pooling against loops over the definition in float64."""
import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE = {1: (F.adaptive_avg_pool1d, F.adaptive_max_pool1d), 2: (F.adaptive_avg_pool2d, F.adaptive_max_pool2d),
            3: (F.adaptive_avg_pool3d, F.adaptive_max_pool3d)}


def starts(n, k, s, p, d, ceil):
    """First elements of the windows along one dimension; a window must begin within the input or its left padding."""
    found = []
    at = -p
    while True:
        end = at + d * (k - 1) + 1
        fits = end <= n + p if not ceil else at < n and end - s < n + p
        if not fits:
            return found
        found.append(at)
        at += s


def windows(shape, kernel, stride, padding, dilation, ceil):
    """Place of each result, and the coordinates its window touches, padding included."""
    first = [starts(*each, ceil) for each in zip(shape, kernel, stride, padding, dilation, strict=True)]
    for place in np.ndindex(*map(len, first)):
        yield place, [first[i][at] + np.arange(kernel[i]) * dilation[i] for i, at in enumerate(place)]


def inside(coordinates, shape):
    return [at[(at >= 0) & (at < n)] for at, n in zip(coordinates, shape, strict=True)]


def configurations(rng, spatial, count=30):
    while count:
        shape, kernel, stride = (tuple(int(n) for n in rng.integers(1, high, spatial)) for high in (8, 4, 4))
        dilation = tuple(int(n) for n in rng.integers(1, 3, spatial))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        ceil = bool(rng.integers(2))
        if all(n + 2 * p >= d * (k - 1) + 1 for n, p, d, k in zip(shape, padding, dilation, kernel, strict=True)):
            count -= 1
            yield shape, kernel, stride, padding, dilation, ceil


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_maximum(spatial, rng):
    for shape, kernel, stride, padding, dilation, ceil in configurations(rng, spatial):
        x = rng.integers(-9, 10, (2, 3, *shape)).astype(np.float32)
        y, index = MAX[spatial](x, kernel, stride, padding, dilation, ceil, True)
        for place, coordinates in windows(shape, kernel, stride, padding, dilation, ceil):
            window = x[(slice(None), slice(None), *np.ix_(*inside(coordinates, shape)))]
            np.testing.assert_array_equal(y[(..., *place)], window.max(tuple(range(2, spatial + 2)), initial=-np.inf))
        assert y.shape[2:] == tuple(len(starts(*each, ceil)) for each in
                                    zip(shape, kernel, stride, padding, dilation, strict=True))
        chosen = np.take_along_axis(x.reshape(2, 3, -1), index.reshape(2, 3, -1), 2).reshape(y.shape)
        np.testing.assert_array_equal(np.where(index < 0, -np.inf, chosen), y)  # -1: dilation stepped over everything
        np.testing.assert_array_equal(MAX[spatial](x, kernel, stride, padding, dilation, ceil), y)
        np.testing.assert_array_equal(MAX[spatial](x[1], kernel, stride, padding, dilation, ceil), y[1])


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average(spatial, count_include_pad, rng):
    for shape, kernel, stride, padding, dilation, ceil in configurations(rng, spatial):
        dilation = (1,) * spatial
        if any(n + 2 * p < k for n, p, k in zip(shape, padding, kernel, strict=True)):
            continue
        x = rng.normal(size=(2, 3, *shape)).astype(np.float32)
        y = AVG[spatial](x, kernel, stride, padding, ceil, count_include_pad)
        for place, coordinates in windows(shape, kernel, stride, padding, dilation, ceil):
            within = inside(coordinates, shape)
            window = x[(slice(None), slice(None), *np.ix_(*within))].astype(np.float64)
            counted = within if not count_include_pad else \
                [at[at < n + p] for at, n, p in zip(coordinates, shape, padding, strict=True)]
            wanted = window.sum(tuple(range(2, spatial + 2))) / np.prod([len(at) for at in counted])
            np.testing.assert_allclose(y[(..., *place)], wanted, atol=1e-6)
        np.testing.assert_array_equal(AVG[spatial](x[0], kernel, stride, padding, ceil, count_include_pad), y[0])


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_adaptive(spatial, rng):
    for _ in range(15):
        shape, sizes = (tuple(int(n) for n in rng.integers(1, 9, spatial)) for _ in range(2))
        x = rng.normal(size=(2, 2, *shape)).astype(np.float32)
        mean = ADAPTIVE[spatial][0](x, sizes)
        most, index = ADAPTIVE[spatial][1](x, sizes, True)
        assert mean.shape == most.shape == (2, 2, *sizes)
        for place in np.ndindex(*sizes):
            cut = tuple(slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m)))
                        for i, n, m in zip(place, shape, sizes, strict=True))
            window = x[(..., *cut)].reshape(2, 2, -1)
            np.testing.assert_allclose(mean[(..., *place)], window.mean(-1, dtype=np.float64), atol=1e-6)
            np.testing.assert_array_equal(most[(..., *place)], window.max(-1))
        np.testing.assert_array_equal(np.take_along_axis(x.reshape(2, 2, -1), index.reshape(2, 2, -1), 2),
                                      most.reshape(2, 2, -1))


def test_nan_wins_and_infinities_pass():
    x = np.array([[1, np.nan, 3, -np.inf, -np.inf, np.inf]], np.float32)
    np.testing.assert_array_equal(F.max_pool1d(x, 2), [[np.nan, 3, np.inf]])
    y, index = F.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(y, [[np.nan, 3, np.inf]])
    assert index.tolist() == [[1, 2, 5]]
    assert F.max_pool1d(np.full((1, 4), -np.inf), 2, return_indices=True)[1].tolist() == [[0, 2]]


def test_layers_pass_their_arguments(rng):
    x = rng.normal(size=(2, 3, 9, 8)).astype(np.float32)
    np.testing.assert_array_equal(nn.MaxPool2d(3, 2, 1, 1, False, True)(x), F.max_pool2d(x, 3, 2, 1, 1, True))
    np.testing.assert_array_equal(nn.AvgPool2d(3, 2, 1, True, False, 7)(x), F.avg_pool2d(x, 3, 2, 1, True, False, 7))
    np.testing.assert_array_equal(nn.AdaptiveAvgPool2d((None, 2))(x), F.adaptive_avg_pool2d(x, (9, 2)))
    np.testing.assert_array_equal(F.max_pool2d_with_indices(x, 2)[1], F.max_pool2d(x, 2, return_indices=True)[1])


@pytest.mark.parametrize("text, call", [
    ("at most half", lambda: F.max_pool1d(np.ones((1, 8)), 2, padding=2)),
    ("large enough", lambda: F.avg_pool1d(np.ones((1, 3)), 4)),
    ("`kernel_size` >= 1", lambda: F.avg_pool2d(np.ones((1, 3, 3)), 0)),
    ("empty at most in its batch", lambda: F.max_pool2d(np.ones((1, 0, 3, 3)), 2)),
    ("divisor_override", lambda: F.avg_pool2d(np.ones((1, 3, 3)), 2, divisor_override=0)),
    ("`output_size` to be one number or 2", lambda: F.adaptive_avg_pool2d(np.ones((1, 3, 3)), (1, 2, 3))),
    ("`output_size` >= 0", lambda: F.adaptive_max_pool2d(np.ones((1, 3, 3)), -1)),
    (r"2D \(unbatched\) or 3D", lambda: F.adaptive_avg_pool1d(np.ones(3), 1)),
])
def test_bad_arguments(text, call):
    with pytest.raises(ValueError, match=text):
        call()

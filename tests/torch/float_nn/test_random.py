"""Convolutions and pools against torch over random shapes, strides, paddings, dilations and groups.

Allowed: 1e-5 of torch's largest element in float32 and 1e-13 in float64 (compare.TOLERANCE).
"""
import numpy as np
import pytest
import torch

from .compare import assert_close, error_of, kind_of, ours, theirs, to_numpy, to_torch

ROUNDS = 60


def draw(rng, spatial, high, low=1):
    return tuple(int(n) for n in rng.integers(low, high, spatial))


def agree(name, arrays, *args):
    """Equal results, or errors of one kind; returns True for results."""
    got = error_of(lambda: getattr(ours.functional, name)(*arrays, *args))
    wanted = error_of(lambda: getattr(theirs.functional, name)(*map(to_torch, arrays), *args))
    if wanted is not None:
        assert isinstance(got, kind_of(wanted)), (args, [array.shape for array in arrays], got, wanted)
        return False
    result = getattr(ours.functional, name)(*arrays, *args)
    expected = getattr(theirs.functional, name)(*map(to_torch, arrays), *args)
    result, expected = (value if isinstance(value, tuple) else (value,) for value in (result, expected))
    for one, other in zip(result, expected, strict=True):
        assert_close(one, other)
    return True


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_convolutions(spatial, dtype, rng):
    worked = 0
    for _ in range(ROUNDS):
        groups, inner, outer, batch = draw(rng, 4, 5)
        size, kernel = draw(rng, spatial, 12 if spatial < 3 else 7), draw(rng, spatial, 5)
        x = rng.normal(size=(batch, groups * inner, *size)).astype(dtype)
        w = rng.normal(size=(groups * outer, inner, *kernel)).astype(dtype)
        b = rng.normal(size=groups * outer).astype(dtype)
        stride, padding, dilation = draw(rng, spatial, 4), draw(rng, spatial, 4, 0), draw(rng, spatial, 4)
        worked += agree(f"conv{spatial}d", (x, w, b), stride, padding, dilation, groups)
    assert worked > 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_transposed_convolutions(spatial, dtype, rng):
    worked = 0
    for _ in range(ROUNDS):
        groups, inner, outer, batch = draw(rng, 4, 4)
        size, kernel = draw(rng, spatial, 7 if spatial < 3 else 5), draw(rng, spatial, 5)
        x = rng.normal(size=(batch, groups * inner, *size)).astype(dtype)
        w = rng.normal(size=(groups * inner, outer, *kernel)).astype(dtype)
        b = rng.normal(size=groups * outer).astype(dtype)
        stride, padding, dilation = draw(rng, spatial, 4), draw(rng, spatial, 3, 0), draw(rng, spatial, 4)
        extra = draw(rng, spatial, 3, 0)
        size = [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in
                zip(size, stride, padding, dilation, kernel, extra, strict=True)]
        if 0 in size:  # an error or an empty result: torch's own backends disagree
            continue
        worked += agree(f"conv_transpose{spatial}d", (x, w, b), stride, padding, extra, groups, dilation)
    assert worked > 3


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pools(kind, spatial, rng):
    worked = 0
    for _ in range(ROUNDS):
        x = rng.normal(size=(*draw(rng, 2, 4), *draw(rng, spatial, 10, 4))).astype(np.float32)  # torch 3d: >= kernel
        kernel, stride, padding = draw(rng, spatial, 5), draw(rng, spatial, 4), draw(rng, spatial, 3, 0)
        rest = (int(rng.integers(1, 3)), bool(rng.integers(2))) if kind == "max" else \
            (bool(rng.integers(2)), bool(rng.integers(2)))
        if kind == "max" and rest[0] > 1 and any(padding):
            padding = (0,) * spatial  # torch gives indices outside the plane for windows that dilation leaves empty
        name = f"max_pool{spatial}d_with_indices" if kind == "max" else f"avg_pool{spatial}d"
        worked += agree(name, (x,), kernel, stride, padding, *rest)
    assert worked > 3


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "area"])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_interpolation(spatial, mode, rng):
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[spatial] if mode == "linear" else mode
    for number in range(30):
        x = rng.normal(size=(2, 2, *draw(rng, spatial, 8))).astype(np.float32)
        options = {"align_corners": bool(number % 2)} if "linear" in mode else {}
        if number % 3:
            options["size"] = draw(rng, spatial, 12)
        else:
            options["scale_factor"] = tuple(float(factor) for factor in rng.uniform(1, 3, spatial))
            options["recompute_scale_factor"] = bool(number % 6)
        assert_close(ours.functional.interpolate(x, mode=mode, **options),
                     theirs.functional.interpolate(to_torch(x), mode=mode, **options))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_convolution_is_rounded_once(dtype, rng):
    """The result is float64's, rounded to the half type: torch itself rounds more than once on some machines."""
    kind = getattr(torch, dtype)
    for _ in range(10):
        x, w = (to_numpy(to_torch(rng.normal(size=shape)).to(kind)) for shape in ((2, 4, 8, 8), (5, 4, 3, 3)))
        exact = theirs.functional.conv2d(*(torch.from_numpy(array.astype(np.float64)) for array in (x, w)))
        got = ours.functional.conv2d(x, w)
        assert got.dtype == x.dtype
        wrong = got.astype(np.float64) != to_numpy(exact.to(kind)).astype(np.float64)
        assert wrong.mean() < 0.02  # float32 sums may lie on the other side of a tie

"""Absorption of high biases against its formula, and on inputs for which it is exact."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_stay_where_channels_are_high(rng: np.random.Generator, dtype: Any) -> None:
    first, second = rng.standard_normal((6, 5)).astype(dtype), rng.standard_normal((4, 6)).astype(dtype)
    bias, other = np.array([40, 30, -3, 0, 1, 25]).astype(dtype), rng.standard_normal(4).astype(dtype)
    x = rng.standard_normal((50, 5)).clip(-2, 2)
    before = x @ first.T + bias
    mean, deviation = before.mean(0).astype(dtype), before.std(0).astype(dtype)
    a, b = methods.absorb_bias(bias, second, other, mean, deviation)
    c = np.maximum(0, mean - 3 * deviation)
    assert (c > 10).sum() == 3 and a.dtype == b.dtype == dtype
    np.testing.assert_allclose(a, bias - c, rtol=1e-6)
    np.testing.assert_allclose(b, other + second @ c, rtol=1e-5)
    np.testing.assert_allclose(np.maximum(x @ first.T + a, 0) @ second.T + b, np.maximum(before, 0) @ second.T + other,
                               rtol=1e-4, atol=1e-3)
    kernel = rng.standard_normal((4, 6, 3, 3)).astype(dtype)
    np.testing.assert_allclose(methods.absorb_bias(bias, kernel, other, mean, deviation)[1],
                               other + kernel.sum((2, 3)) @ c, rtol=1e-4)


def test_bad_arguments() -> None:
    one = np.ones(3, np.float32)
    good = {"bias": one, "weight": np.ones((2, 3), np.float32), "next_bias": one[:2], "mean": one, "deviation": one}
    for name, value in (("bias", one * np.nan), ("weight", np.ones((2, 2), np.float32)), ("next_bias", one),
                        ("mean", one[:2]), ("deviation", -one), ("deviation", one[:1]), ("bias", one[None])):
        with pytest.raises(ValueError, match=f"`{name}`"):
            methods.absorb_bias(**{**good, name: value})
    with pytest.raises(TypeError, match="`mean`"):
        methods.absorb_bias(**{**good, "mean": np.ones(3, int)})

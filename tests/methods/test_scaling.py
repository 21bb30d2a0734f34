"""SmoothQuant and AWQ against their formulas, and what they gain with outlier channels."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods
from pytorch_quantization_c.tensor_quant import fake_tensor_quant

Array = Any


def outliers(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A weight (48, 128), inputs and held-out ones; one channel in 64 is 30 times as large."""
    weight, inputs = rng.standard_normal((48, 128)), rng.standard_normal((2, 256, 128))
    inputs[..., ::64] *= 30
    return weight.astype(np.float32), *inputs.astype(np.float32)


def sqnr(weight: Array, rounded: Array, x: Array, x_rounded: Array) -> float:
    wanted, got = x.astype(np.float64) @ weight.T, x_rounded.astype(np.float64) @ rounded.T
    return float(10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()))


def per_row(weight: Array, bits: int) -> Array:
    return fake_tensor_quant(weight, np.abs(weight).max(1, keepdims=True), bits)


def test_smoothquants_formula_and_gain(rng: np.random.Generator) -> None:
    weight, x, others = outliers(rng)
    x[:, 3] = 0
    got, scale = methods.smoothquant(weight, x, alpha=0.7)
    s = np.abs(x).max(0).astype(float) ** 0.7 / np.abs(weight).max(0).astype(float) ** 0.3
    s[3] = 1
    np.testing.assert_allclose(1 / scale, s, rtol=1e-6)
    np.testing.assert_allclose(got, weight * s, rtol=1e-6)
    assert got.dtype == weight.dtype and scale.dtype == np.float32
    got, scale = methods.smoothquant(weight, x)

    def w8a8(w: Array, factor: Array) -> float:
        amax = np.abs(x * factor).max()
        return sqnr(weight, per_row(w, 8), others, fake_tensor_quant(others * factor, amax, 8))

    assert w8a8(got, scale) > w8a8(weight, np.float32(1)) + 6


def test_awqs_formula_and_gain(rng: np.random.Generator) -> None:
    weight, x, others = outliers(rng)
    got, scale = methods.awq(weight, x, steps=5)
    best: tuple[float, Any] = (np.inf, None)
    mean = np.abs(x.astype(float)).mean(0)
    for a in np.arange(5) / 5:
        s = mean ** a / np.sqrt((mean ** a).max() * (mean ** a).min())
        off = (per_row((weight * s).astype(np.float32), 4) / s - weight) @ x.T.astype(float)
        best = min(best, (float(np.square(off).sum()), s), key=lambda pair: pair[0])
    np.testing.assert_allclose(1 / scale, best[1], rtol=1e-6)
    np.testing.assert_allclose(got, weight * best[1], rtol=1e-6)
    got, scale = methods.awq(weight, x, group_size=64)
    plain = fake_tensor_quant(weight.reshape(-1, 64), np.abs(weight.reshape(-1, 64)).max(1, keepdims=True), 4)
    amax = methods.weight_range(got, x * scale, group_size=64)
    rounded = fake_tensor_quant(got, np.repeat(amax, 64, 1), 4)
    gain = sqnr(weight, rounded, others, others * scale) - sqnr(weight, plain.reshape(weight.shape), others, others)
    assert gain > 6


def test_all_zeros(rng: np.random.Generator) -> None:
    weight = rng.standard_normal((3, 4)).astype(np.float32)
    for method in (methods.smoothquant, methods.awq):
        got, scale = method(weight, np.zeros((2, 4), np.float32))
        np.testing.assert_array_equal(got, weight)
        np.testing.assert_array_equal(scale, np.ones(4, np.float32))


def test_bad_arguments() -> None:
    w, x = np.ones((3, 8), np.float32), np.ones((5, 8), np.float32)
    with pytest.raises(ValueError, match="`alpha` to be finite and from 0 to 1, got 1.5"):
        methods.smoothquant(w, x, alpha=1.5)
    with pytest.raises(ValueError, match="Expected `inputs` of shape"):
        methods.smoothquant(w, x[:, :7])
    for arguments, kind, name in (({"num_bits": 9}, ValueError, "num_bits"), ({"steps": 0}, ValueError, "steps"),
                                  ({"group_size": 3}, ValueError, "group_size"), ({"steps": 2.0}, TypeError, "steps")):
        with pytest.raises(kind, match=f"`{name}`"):
            methods.awq(w, x, **arguments)  # type: ignore[arg-type]

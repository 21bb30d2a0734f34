"""The array functions of bias correction, against plain NumPy."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c.methods.bias_correction import MeanError, corrected_bias


@pytest.mark.parametrize("axis, shape", [(1, (3, 5, 4, 2)), (-1, (3, 7, 5)), (0, (5,))])
def test_the_mean_error_of_each_channel(rng: np.random.Generator, axis: int, shape: tuple[int, ...]) -> None:
    expected, got = rng.standard_normal((2, 4, *shape)).astype(np.float32)
    error = MeanError(axis)
    for a, b in zip(expected, got, strict=True):
        error.add(a, b)
    difference = np.moveaxis(expected.astype(np.float64) - got, 1 + axis if axis >= 0 else axis, 0)
    np.testing.assert_allclose(error.mean(), difference.reshape(5, -1).mean(1), rtol=1e-12)


def test_what_is_sure_of_the_mean_error(rng: np.random.Generator) -> None:
    """By samples: the mean less its variance's share; of one sample, and where channels lie on axis 0, the mean."""
    off = rng.standard_normal((12, 5, 1, 1)) + rng.standard_normal((12, 5, 4, 2)) + np.arange(5)[:, None, None]
    error, single, flat = MeanError(1), MeanError(1), MeanError(0)
    for part in (off[:5], off[5:]):
        error.add(part, np.zeros(part.shape))
    means = off.mean((2, 3))
    mean = means.mean(0)
    np.testing.assert_allclose(error.sure_mean(), mean * np.maximum(0, 1 - means.var(0, ddof=1) / 12 / mean ** 2))
    assert (error.sure_mean() != error.mean()).any()
    single.add(off[:1], np.zeros((1, 5, 4, 2)))
    np.testing.assert_array_equal(single.sure_mean(), single.mean())
    flat.add(off[0], np.zeros((5, 4, 2)))
    np.testing.assert_array_equal(flat.sure_mean(), flat.mean())


def test_the_corrected_bias_takes_the_mean_error_away(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((64, 6)), rng.standard_normal((4, 6))
    rounded, bias = np.rint(w * 2) / 2, rng.standard_normal(4).astype(np.float32)
    error = MeanError(-1)
    error.add(x @ w.T + bias, x @ rounded.T + bias)
    fixed = corrected_bias(bias, error.mean())
    assert fixed.dtype == np.float32
    np.testing.assert_allclose((x @ rounded.T + fixed).mean(0), (x @ w.T + bias).mean(0), atol=1e-6)
    np.testing.assert_allclose(corrected_bias(None, error.mean()), error.mean(), rtol=1e-6)


def test_bad_calls() -> None:
    error = MeanError(0)
    with pytest.raises(ValueError, match="outputs to have been added"):
        error.mean()
    with pytest.raises(ValueError, match=r"Expected `got` of shape \(3,\), got \(2,\)"):
        error.add(np.zeros(3), np.zeros(2))

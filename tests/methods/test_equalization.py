"""Equalization against its closed form: both ranges become sqrt(r1 r2), and the outputs stay."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranges_are_the_geometric_means_and_outputs_stay(rng: np.random.Generator, dtype: Any) -> None:
    first = (rng.standard_normal((6, 5)) * 10.0 ** rng.uniform(-2, 2, (6, 1))).astype(dtype)
    second, bias = rng.standard_normal((4, 6)).astype(dtype), rng.standard_normal(6).astype(dtype)
    bias[2], first[4] = 0, 0
    a, b, c = methods.equalize(first, second, bias)
    r1, r2 = np.abs(first).max(1), np.abs(second).max(0)
    used = r1 > 0
    np.testing.assert_allclose(np.abs(a).max(1)[used], np.sqrt(r1 * r2)[used], rtol=1e-6)
    np.testing.assert_allclose(np.abs(b).max(0)[used], np.sqrt(r1 * r2)[used], rtol=1e-6)
    np.testing.assert_array_equal(b[:, 4], second[:, 4])
    x = rng.standard_normal((20, 5))
    np.testing.assert_allclose(np.maximum(x @ a.T + c, 0) @ b.T, np.maximum(x @ first.T + bias, 0) @ second.T,
                               rtol=2e-5, atol=1e-5)
    assert a.dtype == b.dtype == dtype and methods.equalize(first, second)[2] is None


def test_bad_arguments() -> None:
    a, b = np.ones((3, 2), np.float32), np.ones((4, 3), np.float32)
    for first, second, bias, name in ((a, b[:, :2], None, "second"), (a * np.nan, b, None, "first"),
                                      (a, b, np.ones(2, np.float32), "bias")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            methods.equalize(first, second, bias)

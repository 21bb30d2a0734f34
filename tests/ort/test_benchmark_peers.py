"""The onnxruntime graph that the benchmarks time gives our numbers."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c.tensor_quant import fake_tensor_quant

from ..benchmarks import load

peers = load("peers")
AMAX = {"tensor": np.asarray(np.float32(1.5)), "axis": np.linspace(1, 3, 6, dtype=np.float32).reshape(-1, 1)}


@pytest.mark.parametrize("amax", AMAX.values(), ids=AMAX.keys())
def test_the_pair_is_within_a_rounding(amax: np.ndarray) -> None:
    x = np.random.default_rng(1).standard_normal((6, 50), np.float32).clip(-amax, amax)
    result = peers.onnxruntime_pair(x, amax, 1)()
    np.testing.assert_allclose(result, fake_tensor_quant(x, amax), rtol=1e-5)

"""The torch operations that the benchmarks time give our numbers."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from pytorch_quantization_c.tensor_quant import fake_tensor_quant

from ..benchmarks import load

peers = load("peers")
AMAX = {"tensor": np.asarray(np.float32(1.5)), "axis": np.linspace(1, 3, 6, dtype=np.float32).reshape(-1, 1)}


@pytest.mark.parametrize("amax", AMAX.values(), ids=AMAX.keys())
def test_the_sequence_gives_our_bits(amax: np.ndarray) -> None:
    x = np.random.default_rng(1).standard_normal((6, 50), np.float32)
    np.testing.assert_array_equal(peers.torch_sequence(x, amax)().numpy(), fake_tensor_quant(x, amax))


@pytest.mark.parametrize("amax", AMAX.values(), ids=AMAX.keys())
def test_torchs_own_is_within_a_rounding(amax: np.ndarray) -> None:
    x = np.random.default_rng(1).standard_normal((6, 50), np.float32)
    result = peers.torch_fake_quantize(x, amax)()
    assert isinstance(result, torch.Tensor)
    np.testing.assert_allclose(result.numpy(), fake_tensor_quant(x, amax), rtol=1e-5)

"""Another library may have set this thread to flush denormals to zero: no answer of either front changes."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from pytorch_quantization_c import calib, nn, tensor_quant
from pytorch_quantization_c import torch as twin
from pytorch_quantization_c.tensor_quant import QuantDescriptor

U = np.random.default_rng(2).uniform(-1, 1, (5, 7)).astype(np.float32)
W = np.random.default_rng(3).normal(size=(3, 7)).astype(np.float32)


@contextmanager
def flushing() -> Iterator[None]:
    torch.set_flush_denormal(True)      # where a processor cannot, nothing changes
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def answers(bits: int, x: Any) -> list[Any]:
    amax, both = np.float32(np.abs(x).max()), {"quant_desc_input": QuantDescriptor(bits),
                                               "quant_desc_weight": QuantDescriptor(bits, axis=0)}
    layer, on_tensors = nn.QuantLinear(7, 3, bias=False, **both), twin.nn.QuantLinear(7, 3, bias=False, **both)
    layer.weight[...] = W
    on_tensors.weight.data.copy_(torch.from_numpy(W))
    histogram = calib.HistogramCalibrator(bits, None, False)
    histogram.collect(x)
    with torch.no_grad():
        return [tensor_quant.fake_tensor_quant(x, amax, bits), *tensor_quant.tensor_quant(x, amax, bits),
                layer(x), np.array(layer.execution), on_tensors(torch.from_numpy(x)).numpy(),
                twin.tensor_quant.fake_tensor_quant(torch.from_numpy(x), torch.tensor(amax), bits).numpy(),
                *(histogram.compute_amax(method) for method in ("entropy", "mse", "percentile"))]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("largest", [3e38, 1e38, 1.0, 2.0 ** -30])
def test_answers_are_the_same(bits: int, largest: float) -> None:
    """2 and 3 bits with an amax above 1e38 have a denormal scale."""
    x = U * np.float32(largest)
    with np.errstate(all="ignore"):
        wanted = answers(bits, x)
        with flushing():
            found = answers(bits, x)
    assert np.isfinite(wanted[0]).all()
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)

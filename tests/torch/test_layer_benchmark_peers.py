"""torch's layers that the benchmark times compute the layer, with 8 bit accuracy where they are quantised."""
from __future__ import annotations

from typing import Any

import pytest
import torch

from ..benchmarks import load

shapes, worker = load("layer_shapes"), load("layer_worker")


@pytest.fixture(autouse=True)
def as_before() -> Any:
    threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    yield
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.backends.quantized.engine = engine


@pytest.mark.parametrize("shape", [shapes.Shape("conv", 3, 8, 3, 9, 2, 1), shapes.Shape("dw", 6, 6, 3, 7, 1, 1, 6),
                                   shapes.Shape("linear", 64, 24, rows=3)], ids=lambda shape: shape.name)
def test_torch(shape: Any) -> None:
    exact = shape.reference(2)
    assert [worker.checked("torch fp32", call, exact) for call in worker.torch_float(shape, 2, 1)]
    quantised = [worker.checked("torch int8", call, exact) for call in worker.torch_dynamic(shape, 2, 1)]
    assert bool(quantised) == (shape.rows > 0)

"""onnxruntime's layers that the benchmark times compute the layer, with 8 bit accuracy where they are quantised."""
from __future__ import annotations

from typing import Any

import pytest

from ..benchmarks import load

shapes, worker = load("layer_shapes"), load("layer_worker")


@pytest.mark.parametrize("library, forms", [("ORT fp32", 1), ("ORT int8", 2)])
@pytest.mark.parametrize("shape", [shapes.Shape("conv", 3, 8, 3, 9, 2, 1), shapes.Shape("dw", 6, 6, 3, 7, 1, 1, 6),
                                   shapes.Shape("linear", 64, 24, rows=3)], ids=lambda shape: shape.name)
def test_onnxruntime(library: str, forms: int, shape: Any) -> None:
    calls = list(worker.LIBRARIES[library](shape, 2, 1))
    assert len(calls) == forms + (library == "ORT int8" and shape.rows > 0)
    for call in calls:
        worker.checked(library, call, shape.reference(2))

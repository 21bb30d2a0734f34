"""Quantisers that find their ranges themselves, saved: what onnxruntime makes of the file."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import QuantizerSpec
from tests.graph.files.test_bodies import one_quantiser
from tests.graph.files.test_dynamic_ranges import SPECS, by_definition


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("name", SPECS)
def test_files_find_the_range(name: str, opset: int, rng: np.random.Generator, tmp_path: Path) -> None:
    x = rng.normal(size=(2, 3, 2)).astype(np.float32)
    x *= np.array([1, 30, 0.01], np.float32)[:, None] * np.array([5, 0.2], np.float32).reshape(2, 1, 1)
    spec: QuantizerSpec = SPECS[name]
    graph.save(one_quantiser(spec, None, opset), tmp_path / "one.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    found, = session.run(None, {"x": x})
    np.testing.assert_allclose(found, by_definition(x, spec)[0], rtol=1e-5, atol=1e-9)

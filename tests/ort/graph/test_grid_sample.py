"""GridSample by the names that each opset has for its modes, against onnxruntime."""
from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from pytorch_quantization_c import graph
from tests.graph.networks import network, normal


@pytest.mark.parametrize("opset", [16, 20])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [0, 1])
def test_modes(rng: np.random.Generator, opset: int, mode: str, padding: str, aligned: int) -> None:
    named = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode) if opset == 16 else mode
    model = network(f'y = GridSample <mode = "{named}", padding_mode = "{padding}", align_corners = {aligned}> (x, g)',
                    "float[N,3,5,7] x, float[N,4,6,2] g", "float[N,3,4,6] y", opset=opset)
    feeds = {"x": normal(rng, 2, 3, 5, 7), "g": normal(rng, 2, 4, 6, 2) * np.float32(1.2)}
    wanted, = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, feeds)
    found, = graph.interpret(model, feeds)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)

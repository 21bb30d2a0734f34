"""Traced models in onnxruntime: the same floats, and quantised ones as QuantizeLinear and DequantizeLinear."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph
from pytorch_quantization_c import nn as quant_nn
from tests.graph.tracing.test_trace import flat
from tests.graph.tracing.traced_models import LeNet, PlainGRU, ResNet, Transformer, ready
from tests.ort.graph.peer import run, signal_to_noise

MODELS = {
    "lenet": (lambda rng: ready(LeNet(), rng), (1, 1, 28, 28), (3, 1, 28, 28)),
    "resnet": (lambda rng: ready(ResNet(), rng), (1, 3, 32, 32), (2, 3, 40, 56)),
    "lstm": (lambda rng: float_nn.LSTM(5, 7, 2, batch_first=True).eval(), (1, 4, 5), (3, 9, 5)),
    "bidirectional lstm": (lambda rng: float_nn.LSTM(5, 7, 2, bidirectional=True).eval(), (4, 1, 5), (9, 3, 5)),
    "transformer": (lambda rng: Transformer().eval(), (1, 6, 16), (3, 9, 16)),
    "gru": (lambda rng: PlainGRU(rng), (1, 4, 5), (3, 4, 5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_computes_a_traced_model(name: str, rng: np.random.Generator) -> None:
    make, shape, other = MODELS[name]
    net: Any = make(rng)
    model = graph.trace(net, rng.standard_normal(shape).astype(np.float32))
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    for size in (shape, other):
        x = rng.standard_normal(size).astype(np.float32)
        for got, wanted in zip(run(proto, {model.graph.inputs[0].name: x}), flat(net(x)), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_onnxruntime_computes_a_traced_quantised_model(tmp_path: Path, rng: np.random.Generator) -> None:
    net = ready(ResNet(quant_nn.QuantConv2d, quant_nn.QuantLinear), rng)
    x = rng.standard_normal((4, 3, 32, 32)).astype(np.float32)
    graph.save(graph.trace(net, x), tmp_path / "net.onnx")
    got, = run(str(tmp_path / "net.onnx"), {"x": x})
    assert signal_to_noise(got, net(x)) > 30
    again, = graph.interpret(graph.load(tmp_path / "net.onnx"), {"x": x})
    assert again.tobytes() == net(x).tobytes()

"""Models of NumPy arrays as graphs: the same bits, in all sizes that may change."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c import float_nn, graph
from pytorch_quantization_c import nn as quant_nn
from pytorch_quantization_c.graph.interpreter import elementwise
from tests.graph.tracing.traced_models import LeNet, PlainGRU, ResNet, Transformer, ready

Array = NDArray[Any]
QUANTIZED = {"conv": quant_nn.QuantConv2d, "linear": quant_nn.QuantLinear}


def flat(outputs: Any) -> list[Array]:
    return [array for each in outputs for array in flat(each)] if isinstance(outputs, tuple) else [outputs]


def assert_same_bits(net: Any, model: ir.Model, *inputs: Array) -> None:
    for x in inputs:
        found = graph.interpret(model, {model.graph.inputs[0].name or "": x})
        for got, wanted in zip(found, flat(net(x)), strict=True):
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            np.testing.assert_array_equal(got.view(np.uint32), wanted.view(np.uint32))


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("classes", [{}, QUANTIZED], ids=["float", "quantised"])
def test_lenet(classes: dict[str, Any], rng: np.random.Generator) -> None:
    net = ready(LeNet(**classes), rng)
    model = graph.trace(net, normal(rng, 1, 1, 28, 28))
    assert_same_bits(net, model, normal(rng, 1, 1, 28, 28), normal(rng, 5, 1, 28, 28))
    layers = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    assert [node.name for node in layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert {"conv1.weight", "fc2.bias"} <= set(model.graph.initializers)
    assert operators(model).count("FakeQuant") == (8 if classes else 0)
    assert str(model.graph.inputs[0].shape) == "[batch,1,28,28]"
    onnx.checker.check_model(ir.to_proto(model))


@pytest.mark.parametrize("classes", [{}, QUANTIZED], ids=["float", "quantised"])
def test_resnet_keeps_its_normalisation_and_takes_other_heights_and_widths(classes: dict[str, Any],
                                                                           rng: np.random.Generator) -> None:
    net = ready(ResNet(**classes), rng)
    model = graph.trace(net, normal(rng, 1, 3, 32, 32))
    assert_same_bits(net, model, normal(rng, 1, 3, 32, 32), normal(rng, 3, 3, 40, 56), normal(rng, 2, 3, 17, 33))
    assert operators(model).count("BatchNormalization") == 6
    assert str(model.graph.inputs[0].shape) == "[batch,3,x_2,x_3]"


@pytest.mark.parametrize("settings", [{"batch_first": True}, {"bidirectional": True}, {"bias": False}])
def test_lstm_of_two_layers(settings: dict[str, Any], rng: np.random.Generator) -> None:
    net = float_nn.LSTM(5, 7, 2, **settings).eval()
    model = graph.trace(net, normal(rng, 1, 4, 5))
    assert_same_bits(net, model, normal(rng, 1, 4, 5), normal(rng, 3, 9, 5), normal(rng, 2, 1, 5))
    assert operators(model).count("LSTM") == 2


@pytest.mark.parametrize("linear", [float_nn.Linear, quant_nn.QuantLinear])
def test_transformer_block(linear: Any, rng: np.random.Generator) -> None:
    net = ready(Transformer(linear), rng)
    model = graph.trace(net, normal(rng, 1, 6, 16))
    assert_same_bits(net, model, normal(rng, 1, 6, 16), normal(rng, 3, 9, 16))
    assert str(model.graph.inputs[0].shape) == "[batch,x_1,16]"


def test_gru_in_plain_numpy(rng: np.random.Generator) -> None:
    net = PlainGRU(rng)
    model = graph.trace(net, normal(rng, 1, 4, 5))
    assert_same_bits(net, model, normal(rng, 1, 4, 5), normal(rng, 3, 4, 5))
    assert operators(model).count("Tanh") == 4
    text = io.StringIO()
    graph.summary(model, text)
    assert text.getvalue().endswith("\nAxes of inputs that stay fixed: x_1, x_2\n")


@pytest.mark.parametrize("make", [quant_nn.QuantLSTM, quant_nn.modules.quant_rnn.GRU])
def test_quantised_recurrent_layers_compute_in_floats_as_they_do(make: Any, rng: np.random.Generator,
                                                                 tmp_path: Path) -> None:
    net = ready(make(5, 7, 2, batch_first=True), rng)
    model = graph.trace(net, normal(rng, 1, 3, 5))
    assert_same_bits(net, model, normal(rng, 1, 3, 5), normal(rng, 3, 3, 5))
    graph.save(model, tmp_path / "net.onnx")
    assert_same_bits(net, graph.load(tmp_path / "net.onnx"), normal(rng, 3, 3, 5))


def test_nodes_that_are_not_equal_to_the_bit_are_named(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    def net(x: Array) -> Array:
        return np.exp(-np.abs(np.tanh(x)))

    x = normal(rng, 1, 6)
    monkeypatch.setitem(elementwise.BY_NUMPY, "Tanh", lambda x: np.nextafter(np.tanh(x), np.float32(0)))
    model, text = graph.trace(net, x), io.StringIO()
    assert model.graph.metadata_props["trace.inexact_nodes"] == "tanh" and "Nodes that differ: tanh." in caplog.text
    graph.summary(model, text)
    assert text.getvalue().endswith("\nNodes that agree with the traced model to 1e-6: tanh\n")
    monkeypatch.setitem(elementwise.BY_NUMPY, "Tanh", lambda x: np.tanh(x) * np.float32(0.99))
    with pytest.raises(graph.GraphError, match=r"does not agree with the model in 'output'.*tanh"):
        graph.trace(net, x)


def test_a_saved_graph_has_the_same_bits(rng: np.random.Generator) -> None:
    net, x = ready(ResNet(**QUANTIZED), rng), normal(rng, 2, 3, 32, 32)
    model = graph.trace(net, x)
    again = graph.load(ir.to_proto(model).SerializeToString())
    assert_same_bits(net, again, x)


def test_a_traced_model_is_quantised_and_compiled_like_a_file(rng: np.random.Generator) -> None:
    net = ready(ResNet(), rng)
    model = graph.trace(net, normal(rng, 1, 3, 32, 32))
    int8 = graph.quantize(model, [normal(rng, 4, 3, 32, 32) for _ in range(2)])
    x = normal(rng, 8, 3, 32, 32)
    got, = graph.compile(int8).run(None, {"x": x})
    wanted = net(x)
    assert np.square(wanted).sum() / np.square(got - wanted).sum() > 10 ** 2
    assert "BatchNormalization" not in operators(int8) and operators(model).count("BatchNormalization") == 6

"""1x1 convolutions with 4-bit weights in groups of input channels in graphs and ONNX files."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest

from pytorch_quantization_c import float_nn, graph, nn
from pytorch_quantization_c.model.freeze import freeze
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def network(rng: np.random.Generator) -> Any:
    desc: Any = dict(quant_desc_input=QuantDescriptor(8, amax=2.0),
                     quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32}))
    net = float_nn.Sequential(nn.QuantConv2d(72, 20, 1, **desc), float_nn.ReLU(),
                              nn.QuantConv2d(20, 6, 1, stride=2, padding=1, **desc)).eval()
    for parameter in net.parameters():
        parameter[...] = rng.standard_normal(parameter.shape)
    return net


@pytest.mark.parametrize("frozen", [None, False])
def test_graphs_have_the_layers_bits(frozen: bool | None, rng: np.random.Generator, tmp_path: Any) -> None:
    net, x = network(rng), rng.standard_normal((2, 72, 5, 4)).astype(np.float32)
    if frozen is not None:
        freeze(net, keep_float=frozen)
    wanted = net(x)
    assert net[0].execution == net[2].execution == "int8"
    model = graph.trace(net, x)
    name = model.graph.inputs[0].name
    np.testing.assert_array_equal(graph.interpret(model, {name: x})[0], wanted)
    session = graph.compile(model)
    np.testing.assert_array_equal(session.run(None, {name: x})[0], wanted)
    graph.save(model, tmp_path / "net.onnx")
    loaded = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(loaded)
    assert any(each.data_type == onnx.TensorProto.INT4 for each in loaded.graph.initializer)
    found = onnx.reference.ReferenceEvaluator(loaded).run(None, {name: x})[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(graph.interpret(graph.load(tmp_path / "net.onnx"), {name: x})[0], wanted,
                               atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("ends", [{}, {"amin": -0.5, "amax": 3.0}, {"amin": 0.0, "amax": 3.0}])
@pytest.mark.parametrize("pointwise", [False, True])
def test_inputs_with_zero_points(ends: dict[str, float], pointwise: bool, rng: np.random.Generator,
                                 tmp_path: Any) -> None:
    desc: Any = dict(quant_desc_input=QuantDescriptor(8, zero_point=True, **ends),
                     quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32}))
    layer: Any = nn.QuantConv2d(72, 20, 1, **desc) if pointwise else nn.QuantLinear(72, 20, **desc)
    net = float_nn.Sequential(layer, float_nn.ReLU()).eval()
    x = rng.uniform(-1, 4, (2, 72, 5, 4) if pointwise else (5, 72)).astype(np.float32)
    wanted = net(x)
    assert layer.execution == "int8"
    model = graph.trace(net, x)
    name = model.graph.inputs[0].name
    np.testing.assert_array_equal(graph.interpret(model, {name: x})[0], wanted)
    np.testing.assert_array_equal(graph.compile(model).run(None, {name: x})[0], wanted)
    if ends:
        graph.save(model, tmp_path / "net.onnx")
        found = graph.interpret(graph.load(tmp_path / "net.onnx"), {name: x})[0]
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())

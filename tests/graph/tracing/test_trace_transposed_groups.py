"""Grouped transposed convolutions with a scale for each output channel as a node a group, in graphs and ONNX files."""
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
    layer = nn.QuantConvTranspose2d(6, 9, 3, stride=2, groups=3, quant_desc_input=QuantDescriptor(8, amax=2.0),
                                    quant_desc_weight=QuantDescriptor(8, axis=(0, 1)))
    layer.weight[...] = rng.standard_normal(layer.weight.shape) * rng.uniform(0.1, 10, (6, 3, 1, 1))
    return float_nn.Sequential(layer, float_nn.ReLU()).eval()


@pytest.mark.parametrize("frozen", [None, True, False])
def test_graphs_have_the_layers_bits(frozen: bool | None, rng: np.random.Generator, tmp_path: Any) -> None:
    net, x = network(rng), rng.standard_normal((2, 6, 5, 4)).astype(np.float32)
    if frozen is not None:
        freeze(net, keep_float=frozen)
    wanted = net(x)
    assert net[0].execution == "int8"
    model = graph.trace(net, x)
    np.testing.assert_array_equal(graph.interpret(model, {model.graph.inputs[0].name: x})[0], wanted)
    session = graph.compile(model)
    np.testing.assert_array_equal(session.run(None, {session.get_inputs()[0].name: x})[0], wanted)
    graph.save(model, tmp_path / "net.onnx")
    loaded = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(loaded)
    found = onnx.reference.ReferenceEvaluator(loaded).run(None, {loaded.graph.input[0].name: x})[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_dynamic_ranges_are_those_of_all_channels(rng: np.random.Generator) -> None:
    net = network(rng)
    net[0]._input_quantizer = nn.TensorQuantizer(QuantDescriptor(8)).eval()
    x = rng.standard_normal((2, 6, 5, 4)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)[:, None, None]
    wanted = net(x)
    model = graph.trace(net, x)
    found = graph.interpret(model, {model.graph.inputs[0].name: x})[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())

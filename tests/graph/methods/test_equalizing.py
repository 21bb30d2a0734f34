"""Equalization of graphs: the function stays, chains settle at the closed form, and one range a weight suffices."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import network, normal, sqnr

PER_TENSOR = QuantDescriptor(8)
CHAIN = "a = Conv (x, w1, b1) b = {0} c = Conv <pads = [1, 1, 1, 1], group = 12> (b, w2, b2) d = {1} y = Conv (d, w3)"


def separable(rng: np.random.Generator, first: str, second: str) -> ir.Model:
    """1x1, depthwise 3x3, 1x1, with ranges of channels that spread over three decades and cancel out."""
    spread, other = 10 ** rng.uniform(-1.5, 1.5, (2, 12, 1, 1, 1))
    return network(CHAIN.format(first, second), "float[N,4,9,9] x", "float[N,5,9,9] y",
                   w1=normal(rng, 12, 4, 1, 1) * spread, b1=normal(rng, 12) * spread.ravel(),
                   w2=normal(rng, 12, 1, 3, 3) * other / spread, b2=normal(rng, 12) * other.ravel(),
                   w3=normal(rng, 5, 12, 1, 1) / other.reshape(1, 12, 1, 1), low=0.0, high=6.0)


def noise(model: ir.Model, x: Any, **arguments: Any) -> tuple[float, ir.Model]:
    int8 = graph.quantize(model, [x], weight=PER_TENSOR, **arguments)
    return sqnr(graph.interpret(model, {"x": x})[0], graph.interpret(int8, {"x": x})[0]), int8


@pytest.mark.parametrize("first, second", [("Relu (a)", "Relu (c)"), ("LeakyRelu (a)", "Relu (c)"),
                                           ("Clip (a, low, high)", "Clip (c, low, high)")])
def test_a_depthwise_network_with_spread_ranges(rng: np.random.Generator, first: str, second: str) -> None:
    model = separable(rng, first, second)
    x = normal(rng, 4, 4, 9, 9)
    plain, _ = noise(model, x, methods=())
    better, int8 = noise(model, x, methods=["equalization"])
    assert better > plain + 6
    weights = {each.name: each.input.const_value.numpy() for each in quantizers(int8) if each.is_weight}  # type: ignore
    ranges = [np.abs(weights[name]).max(axes) for name, axes in
              (("conv0.weight", (1, 2, 3)), ("conv2.weight", (1, 2, 3)), ("conv4.weight", (0, 2, 3)))]
    before = [np.abs(model.graph.initializers[name].const_value.numpy()).max(axes) for name, axes in  # type: ignore
              (("w1", (1, 2, 3)), ("w2", (1, 2, 3)), ("w3", (0, 2, 3)))]
    for found in ranges:        # the closed form of a chain of three
        np.testing.assert_allclose(found, np.cbrt(np.prod(before, axis=0)), rtol=1e-3)
    got, = graph.compile(int8).run(None, {"x": x})
    np.testing.assert_array_equal(got, graph.interpret(int8, {"x": x})[0])
    rows = [each for each in graph.gains(int8) if each.method == "equalization"]
    assert [each.layer for each in rows] == ["conv0", "conv2", "conv4"] and sum(each.gain for each in rows) > 6


def test_the_float_function_stays(rng: np.random.Generator) -> None:
    from pytorch_quantization_c.graph.methods.equalizing import equalize_layers

    model = separable(rng, "Clip (a, low, high)", "Relu (c)")
    x = normal(rng, 4, 4, 9, 9)
    expected, = graph.interpret(model, {"x": x})
    made = model.clone()
    assert equalize_layers(made, [node for node in made.graph if node.op_type == "Conv"]) == [
        ("conv0", "conv2"), ("conv2", "conv4")]
    np.testing.assert_allclose(graph.interpret(made, {"x": x})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("between", ["b = Sigmoid (a)", "b = Add (a, a)"])
def test_other_functions_are_left_alone(rng: np.random.Generator, between: str) -> None:
    model = network(f"a = Conv (x, w) {between} y = Conv (b, v)", w=normal(rng, 6, 4, 1, 1), v=normal(rng, 3, 6, 1, 1))
    int8 = graph.quantize(model, [normal(rng, 2, 4, 9, 9)], methods=["equalization"])
    assert graph.gains(int8) == ()


def test_through_a_pool_into_a_linear_layer(rng: np.random.Generator) -> None:
    spread = 10 ** rng.uniform(-1.5, 1.5, 8)
    model = network("a = Conv (x, w) b = Relu (a) c = GlobalAveragePool (b) d = Flatten (c) y = MatMul (d, v)",
                    w=normal(rng, 8, 4, 1, 1) * spread.reshape(8, 1, 1, 1), v=normal(rng, 8, 5) / spread[:, None])
    x = normal(rng, 8, 4, 9, 9)
    assert noise(model, x, methods=["equalization"])[0] > noise(model, x, methods=())[0] + 6

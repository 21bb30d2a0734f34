"""Methods that change what lies between two layers: the float function stays, and rounding loses less."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.analysis.layer_noise import with_only
from pytorch_quantization_c.graph.methods.equalizing import clip_channels
from pytorch_quantization_c.graph.nodes import quantizers
from tests.graph.networks import network, normal, sqnr

Array = Any


def separable(rng: np.random.Generator, between: str) -> ir.Model:
    """1x1 and depthwise 3x3; the channels between spread over two decades."""
    spread = 10 ** rng.uniform(-2, 0, (12, 1, 1, 1))
    return network(f"a = Conv (x, w1, b1) b = {between} y = Conv <pads = [1, 1, 1, 1], group = 12> (b, w2, b2)",
                   "float[N,4,9,9] x", "float[N,12,9,9] y", w1=normal(rng, 12, 4, 1, 1) * spread,
                   b1=normal(rng, 12) * spread.ravel(), w2=normal(rng, 12, 1, 3, 3) / spread, b2=normal(rng, 12),
                   low=0.0, high=1.5)


def quantized(model: ir.Model, data: Array, *methods: str) -> ir.Model:
    return graph.quantize(model, [data], methods=methods, method="max", residual="float")


def gain_at_input(plain: ir.Model, better: ir.Model, x: Array) -> float:
    """In dB, with nothing quantised but what the depthwise convolution reads."""
    found = []
    for model in (plain, better):
        last = [each.name for each in quantizers(model) if each.name.endswith(".input")][-1]
        expected, = graph.interpret(with_only(model, ()), {"x": x})
        found.append(sqnr(expected, graph.interpret(with_only(model, {last}), {"x": x})[0]))
    return found[1] - found[0]


@pytest.mark.parametrize("between", ["Relu (a)", "LeakyRelu (a)", "Clip (a, low, high)"])
def test_channels_ahead_of_a_depthwise_convolution(rng: np.random.Generator, between: str) -> None:
    model, data, x = separable(rng, between), normal(rng, 4, 4, 9, 9), normal(rng, 8, 4, 9, 9)
    expected, = graph.interpret(model, {"x": x})
    plain, better = quantized(model, data), quantized(model, data, "activation_equalization")
    found = [sqnr(expected, graph.interpret(each, {"x": x})[0]) for each in (plain, better)]
    assert found[1] > found[0] + 6
    for given in (data,) if "Clip" in between else (data, x):
        wanted, = graph.interpret(model, {"x": given})
        got, = graph.interpret(with_only(better, ()), {"x": given})
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(graph.compile(better).run(None, {"x": x})[0], graph.interpret(better, {"x": x})[0])
    row, = graph.gains(better)
    assert row.method == "activation_equalization"
    assert row.gain == pytest.approx(gain_at_input(plain, better, data), abs=4)
    with pytest.raises(ValueError, match="finite inputs of layers"):
        quantized(model, data * np.nan, "activation_equalization")


@pytest.mark.parametrize("affine", ["c = Mul (h, k) b = Add (c, s)", "c = Mul (each, h) b = Add (s, c)",
                                    "c = Div (h, k) b = Sub (s, c)"])
def test_channels_behind_an_activation_that_factors_do_not_go_through(rng: np.random.Generator, affine: str) -> None:
    """They go into what HardSwish is multiplied by and what is added, one number for all or one for each channel."""
    spread = 10 ** rng.uniform(-2, 0, (12, 1, 1, 1))
    model = network(f"a = Conv (x, w1) h = HardSwish (a) {affine} "
                    "y = Conv <pads = [1, 1, 1, 1], group = 12> (b, w2, b2)",
                    "float[N,4,9,9] x", "float[N,12,9,9] y", w1=normal(rng, 12, 4, 1, 1) * spread * 8,
                    w2=normal(rng, 12, 1, 3, 3) / spread, b2=normal(rng, 12), k=1.5, s=np.full(1, -0.01),
                    each=rng.uniform(0.5, 2, (1, 12, 1, 1)))
    data, x = normal(rng, 4, 4, 9, 9), normal(rng, 8, 4, 9, 9)
    expected, = graph.interpret(model, {"x": x})
    plain, better = quantized(model, data), quantized(model, data, "activation_equalization")
    found = [sqnr(expected, graph.interpret(each, {"x": x})[0]) for each in (plain, better)]
    assert found[1] > found[0] + 6
    np.testing.assert_allclose(graph.interpret(with_only(better, ()), {"x": x})[0], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(graph.compile(better).run(None, {"x": x})[0], graph.interpret(better, {"x": x})[0])
    row, = graph.gains(better)
    assert row.method == "activation_equalization"
    assert row.gain == pytest.approx(gain_at_input(plain, better, data), abs=4)


@pytest.mark.parametrize("affine", ["b = Add (h, s)", "b = Mul (h, x)", "c = Mul (h, k) b = Add (c, h)",
                                    "c = Mul (h, k) d = Neg (c) b = Add (c, d)",
                                    "d = ReduceMean <keepdims = 1> (h, one) c = Mul (d, k) b = Add (c, each)"])
def test_factors_need_constants_that_one_layer_alone_reads(rng: np.random.Generator, affine: str) -> None:
    model = network(f"h = HardSwish (x) {affine} y = Conv <group = 4> (b, w)", w=normal(rng, 4, 1, 3, 3), k=1.5, s=0.5,
                    each=normal(rng, 1, 4, 1, 1), one=np.ones(1, np.int64))
    made, x = quantized(model, normal(rng, 4, 4, 9, 9), "activation_equalization"), normal(rng, 2, 4, 9, 9)
    assert graph.gains(made) == ()
    np.testing.assert_allclose(graph.interpret(with_only(made, ()), {"x": x})[0],
                               graph.interpret(model, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_a_clip_that_stays_changes_no_quantised_value(rng: np.random.Generator) -> None:
    """Cut off where each channel's own clip would: no bit differs, also on data with larger values than were seen."""
    model, data = separable(rng, "Clip (a, low, high)"), normal(rng, 4, 4, 9, 9)
    better = quantized(model, data, "activation_equalization")
    exact = better.clone()
    weights = [next(node for node in each.graph if node.op_type == "Conv").inputs[1] for each in (model, better)]
    before, after = (value.const_value.numpy() if value.const_value is not None else  # type: ignore[union-attr]
                     value.producer().inputs[0].const_value.numpy() for value in weights)  # type: ignore[union-attr]
    factor = np.abs(after).max((1, 2, 3)) / np.abs(before).max((1, 2, 3))
    assert factor.min() > 0.999 and factor.max() > 5
    clip_channels(next(node for node in exact.graph if node.op_type == "Clip"), np.maximum(factor, 1))
    assert {"Min", "Relu"} <= {node.op_type for node in exact.graph}
    for x in (data, 3 * normal(rng, 8, 4, 9, 9)):
        np.testing.assert_array_equal(graph.interpret(better, {"x": x})[0], graph.interpret(exact, {"x": x})[0])


def test_the_default_equalizes_activations_in_a_stream(rng: np.random.Generator) -> None:
    """Batches that can be read only once, more samples than the method sees: all of them are calibrated with."""
    model, data = separable(rng, "Relu (a)"), normal(rng, 80, 4, 9, 9)
    data[-1] *= 50
    made = graph.quantize(model, (data[i:i + 7] for i in range(0, 80, 7)), method="max")
    whole = graph.quantize(model, [data], method="max")
    assert [row.method for row in graph.gains(made)][0] == "activation_equalization"
    assert ir.to_proto(made).SerializeToString() == ir.to_proto(whole).SerializeToString()
    largest = next(each for each in quantizers(made) if each.name.endswith("conv0.input"))
    assert largest.amax == np.abs(data).max()


def test_high_biases_go_into_the_next_layer(rng: np.random.Generator) -> None:
    high = np.array([50, 40, 0, -1, 60, 2]).astype(np.float32)
    model = network("a = Conv (x, w1, b1) b = Relu (a) y = Conv (b, w2, b2)", "float[N,4,9,9] x", "float[N,5,7,7] y",
                    w1=normal(rng, 6, 4, 1, 1), b1=high, w2=normal(rng, 5, 6, 3, 3), b2=normal(rng, 5))
    data, x = np.sign(normal(rng, 4, 4, 9, 9)), np.sign(normal(rng, 8, 4, 9, 9))    # four signs are within 3 deviations
    expected, = graph.interpret(model, {"x": x})
    plain, better = quantized(model, data), quantized(model, data, "bias_absorption")
    np.testing.assert_allclose(graph.interpret(with_only(better, ()), {"x": x})[0], expected, rtol=1e-3, atol=1e-2)
    noise = [float(np.square(graph.interpret(each, {"x": x})[0] - expected).sum()) for each in (plain, better)]
    assert noise[1] < noise[0] / 4
    row, = graph.gains(better)
    first = np.einsum("nchw,oc->nohw", data, model.graph.initializers["w1"].const_value.numpy()[:, :, 0, 0])  # type: ignore
    given = first + high[:, None, None]
    c = np.maximum(0, given.mean((0, 2, 3)) - 3 * given.std((0, 2, 3)))
    bias = next(node for node in better.graph if node.op_type == "Conv").inputs[2].const_value.numpy()  # type: ignore
    np.testing.assert_allclose(bias, high - c, rtol=1e-4, atol=1e-4)
    assert row.gain > 6


def test_padding_and_clips_stop_absorption(rng: np.random.Generator) -> None:
    for between, pads in (("Relu (a)", "<pads = [1, 1, 1, 1]>"), ("Clip (a, low, high)", ""), ("LeakyRelu (a)", "")):
        model = network(f"a = Conv (x, w1, b1) b = {between} y = Conv {pads} (b, w2, b2)", "float[N,4,9,9] x",
                        "float[N,5,M,M] y", w1=normal(rng, 6, 4, 1, 1), b1=np.full(6, 50.0), w2=normal(rng, 5, 6, 3, 3),
                        b2=normal(rng, 5), low=0.0, high=99.0)
        assert graph.gains(quantized(model, normal(rng, 4, 4, 9, 9), "bias_absorption")) == ()

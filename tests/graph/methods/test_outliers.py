"""SmoothQuant and AWQ on a transformer block with outlier channels (one in 64, times 30)."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph, methods
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import network, normal, sqnr

WIDTH = 128
BLOCK = """n = LayerNormalization <axis = -1> (x, gamma, beta)
           q = MatMul (n, wq) k = MatMul (n, wk) v = MatMul (n, wv)
           t = Transpose <perm = [0, 2, 1]> (k) s = MatMul (q, t) c = Mul (s, scale) p = Softmax (c) a = MatMul (p, v)
           o = MatMul (a, wo) r = Add (x, o)
           m = LayerNormalization <axis = -1> (r, gamma, beta) h = MatMul (m, w1) g = Relu (h) d = MatMul (g, w2)
           y = Add (r, d)"""


def block(rng: np.random.Generator) -> ir.Model:
    gamma = np.ones(WIDTH)
    gamma[::64] = 30
    small = {name: normal(rng, *shape) / np.sqrt(shape[0]) for name, shape in
             (("wq", (WIDTH, 32)), ("wk", (WIDTH, 32)), ("wv", (WIDTH, WIDTH)), ("wo", (WIDTH, WIDTH)),
              ("w1", (WIDTH, 256)), ("w2", (256, WIDTH)))}
    beta = normal(rng, WIDTH) * 0.1
    return network(BLOCK, "float[N,S,128] x", "float[N,S,128] y", gamma=gamma, beta=beta, scale=0.02, **small)


@pytest.mark.parametrize("names, bits, kept, gain", [
    (["smoothquant"], 8, 8, 6), (["awq"], 4, 16, 6), (["awq", "weight_mse", "gptq"], 4, 16, 6)])
def test_a_transformer_block_with_outlier_channels(rng: np.random.Generator, names: list[str], bits: int, kept: int,
                                                   gain: float) -> None:
    """With 4 bits the layers without outliers make noise as well, which AWQ's ranges reduce; few samples would clip."""
    model = block(rng)
    data, x = [normal(rng, 8, 64, WIDTH) for _ in range(8)], normal(rng, 4, 24, WIDTH)
    expected = graph.interpret(model, {"x": x})[0] - x
    found: dict[str, Any] = {}
    for what, given in (("plain", []), ("better", names)):
        int8 = graph.quantize(model, data, weight=QuantDescriptor(bits, axis=0), input=QuantDescriptor(kept),
                              methods=given, residual="float")
        found[what] = sqnr(expected, graph.interpret(int8, {"x": x})[0] - x)
    assert found["better"] > found["plain"] + gain
    got, = graph.compile(int8).run(None, {"x": x})
    np.testing.assert_array_equal(got, graph.interpret(int8, {"x": x})[0])
    rows = [each for each in graph.gains(int8) if each.method == names[0]]
    scales, ranges = rows[:6], rows[6:]
    assert len(scales) == 6 and all(each.gain > 3 for each in scales if each.layer in ("matmul1", "matmul2", "matmul3"))
    assert len(ranges) == (6 if names == ["awq"] else 0) and all(each.gain > 1 for each in ranges)
    plain = sum(node.op_type == "Mul" for node in graph.quantize(model, data).graph)
    assert sum(node.op_type == "Mul" for node in int8.graph) == plain + 2   # both norms took theirs


def test_awq_knows_groups(rng: np.random.Generator) -> None:
    """Factors that suit groups of 32: the others keep their ranges, so more may go into the weight."""
    w, x = normal(rng, 128, 48), normal(rng, 60, 128)
    x[:, ::64] *= 30
    grouped = QuantDescriptor(4, block_sizes={-1: 32})
    int4 = graph.quantize(network("y = MatMul (x, w)", "float[N,128] x", w=w), [x], methods=["awq"], weight=grouped)
    expected, scale = methods.awq(np.ascontiguousarray(w.T), x, group_size=32)
    assert not np.allclose(scale, methods.awq(np.ascontiguousarray(w.T), x)[1])
    factors = next(node for node in int4.graph if node.op_type == "Mul").inputs[1]
    np.testing.assert_allclose(factors.const_value.numpy(), scale, rtol=1e-6)  # type: ignore[union-attr]
    scales, ranges = graph.gains(int4)
    assert scales.gain > 6 and ranges.gain > 2
    weight = next(each for each in quantizers(int4) if each.is_weight)
    assert weight.amax is not None
    np.testing.assert_allclose(weight.amax.T, methods.weight_range(expected, x * scale, group_size=32), rtol=1e-5)


def test_ranges_before_other_rounding_are_those_of_weight_mse(rng: np.random.Generator) -> None:
    w, x = normal(rng, 64, 24), normal(rng, 90, 64)
    model = network("y = MatMul (x, w)", "float[N,64] x", w=w)
    for more in ([], ["gptq"]):
        both = [graph.quantize(model, [x], methods=[*names, *more], weight=QuantDescriptor(4, axis=0))
                for names in (["awq"], ["awq", "weight_mse"])]
        np.testing.assert_array_equal(*(next(each.amax for each in quantizers(one) if each.is_weight) for one in both))


def test_the_factors_are_those_of_the_array_function(rng: np.random.Generator) -> None:
    w, x = normal(rng, 64, 5), normal(rng, 30, 64)
    x[:, 7] *= 30
    int8 = graph.quantize(network("y = MatMul (x, w)", "float[N,64] x", w=w), [x], methods=["smoothquant"])
    expected, scale = methods.smoothquant(np.ascontiguousarray(w.T), x)
    weight = next(each for each in quantizers(int8) if each.is_weight)
    np.testing.assert_allclose(weight.input.const_value.numpy(), expected.T, rtol=1e-6)  # type: ignore[union-attr]
    factors = next(node for node in int8.graph if node.op_type == "Mul").inputs[1]
    np.testing.assert_allclose(factors.const_value.numpy(), scale, rtol=1e-6)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="Expected `batches` for the method 'smoothquant'"):
        graph.quantize(network("y = MatMul (x, w)", "float[N,64] x", w=w), None, methods=["smoothquant"])
    batches = (each for each in [x])        # gone through once
    assert graph.gains(graph.quantize(network("y = MatMul (x, w)", "float[N,64] x", w=w), batches, methods=["awq"]))

"""GPTQ layer after layer, against the same by hand, and what it gains over GPTQ on inputs of the float model."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, graph, methods
from pytorch_quantization_c.graph.methods import sequential
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import network, normal, sqnr

FOUR, THREE = QuantDescriptor(4, axis=0), QuantDescriptor(3, axis=0)
NAMES = ("weight_mse", "sequential_gptq", "bias_correction")


def weights(model: ir.Model) -> dict[str, Any]:
    return {each.name.removesuffix(".weight"): each.input.const_value.numpy()  # type: ignore[union-attr]
            for each in quantizers(model) if each.is_weight}


def nearest_outputs(weight: Any, rounded: Any, exact: Any) -> Any:
    """The weight that makes of rounded inputs what `weight` makes of exact ones, drawn to it by a tenth of the mean."""
    rounded, exact = rounded.astype(np.float64), exact.astype(np.float64)
    moment, cross = rounded.T @ rounded / len(rounded), rounded.T @ exact / len(rounded)
    ridge = np.eye(len(moment)) * 0.1 * np.trace(moment) / len(moment)
    return (np.linalg.inv(moment + ridge) @ (cross + ridge) @ weight.T).T


def linear(rng: np.random.Generator, *sizes: int) -> tuple[ir.Model, list[Any]]:
    """Layers with a ReLU between."""
    pairs = enumerate(zip(sizes, sizes[1:], strict=False))
    arrays: dict[str, Any] = {f"w{i}": normal(rng, *pair) for i, pair in pairs}
    text, value = "", "x"
    for i in range(len(arrays)):
        text += f" h{i} = MatMul ({value}, w{i}) r{i} = Relu (h{i})"
        value = f"r{i}"
    return network(f"{text} y = Identity ({value})", f"float[N,{sizes[0]}] x", **arrays), list(arrays.values())


def test_each_layer_makes_up_for_those_before(rng: np.random.Generator) -> None:
    model, (v, w) = linear(rng, 12, 40, 5)
    x = normal(rng, 64, 12)
    int8 = graph.quantize(model, [x], weight=THREE, methods=["sequential_gptq"])
    first, second = weights(int8).values()
    expected = methods.gptq(np.ascontiguousarray(v.T), x, num_bits=3).T
    np.testing.assert_allclose(first, expected, rtol=1e-5)
    exact, rounded = np.maximum(x @ v, 0), np.maximum(x @ expected, 0)
    wanted = nearest_outputs(w.T, rounded, exact)
    by_hand = methods.gptq(wanted, rounded, num_bits=3, amax=np.abs(w).max(0).astype(np.float64)).T
    assert np.mean(np.abs(second - by_hand) < 1e-5) > 0.97      # float32 may round a tie the other way
    alone = methods.gptq(np.ascontiguousarray(w.T), exact, num_bits=3).T
    assert np.mean(np.abs(second - alone) < 1e-5) < 0.9
    noise = [np.square(np.maximum(x @ v, 0) @ w - rounded @ each).sum() for each in (alone, second)]
    assert noise[1] < noise[0]


def smooth(rng: np.random.Generator, count: int) -> Any:
    """Images of which each pixel is a mean of 4 x 4 numbers, of deviation 1."""
    wide = normal(rng, count, 3, 15, 15)
    return np.sum([wide[:, :, i:i + 12, j:j + 12] for i in range(4) for j in range(4)], axis=0) / np.float32(4)


def test_convolutions_make_up_for_those_before(rng: np.random.Generator) -> None:
    """Ordinary, depthwise and 1 x 1 convolutions on smooth images, judged on other ones."""
    kinds = {"w0": (32, 3, 3, 3), "w1": (32, 1, 3, 3), "w2": (16, 32, 1, 1), "w3": (32, 16, 1, 1), "w4": (8, 32, 1, 1)}
    arrays = {name: normal(rng, *shape) / np.sqrt(np.prod(shape[1:])).astype(np.float32)
              for name, shape in kinds.items()}
    model = network("a = Conv <pads = [1, 1, 1, 1]> (x, w0) b = Relu (a) c = Conv <group = 32> (b, w1) d = Relu (c) "
                    "e = Conv (d, w2) f = Conv (e, w3) g = Relu (f) y = Conv (g, w4)", "float[N,3,12,12] x", **arrays)
    data, x = [smooth(rng, 8) for _ in range(2)], smooth(rng, 8)
    expected = graph.interpret(model, {"x": x})[0]
    noise = {}
    for names in (("weight_mse", "gptq", "bias_correction"), NAMES):
        int8 = graph.quantize(model, data, weight=THREE, methods=names)
        noise[names] = sqnr(expected, graph.interpret(int8, {"x": x})[0])
    plain, better = noise.values()
    assert better > plain + 1
    rows = [each for each in graph.gains(int8) if each.method == "sequential_gptq"]
    assert len(rows) == 5 and all(each.gain > -1e-9 for each in rows)
    for each in (each for each in quantizers(int8) if each.is_weight):     # the weights are on their grids
        array = each.input.const_value.numpy()  # type: ignore[union-attr]
        codes = array * (3 / each.amax.reshape(-1, 1, 1, 1))  # type: ignore[union-attr]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)


def test_outputs_keep_their_means(rng: np.random.Generator) -> None:
    """Biases make up for the layers before as well."""
    model, _ = linear(rng, 12, 16, 16, 5)
    x = np.abs(normal(rng, 64, 12))
    expected = graph.Interpreter(model).run({"x": x}, ["h2"])[0]
    off = {}
    for names in (("gptq", "bias_correction"), ("sequential_gptq",), ("sequential_gptq", "bias_correction")):
        made = graph.quantize(model, [x], weight=THREE, methods=names)
        value = next(node for node in made.graph if node.name == "relu5").inputs[0].name  # type: ignore[union-attr]
        got = graph.Interpreter(made).run({"x": x}, [str(value)])[0]
        off[names] = np.abs((got - expected).mean(0)).mean() / np.abs(expected).mean()
    apart, uncorrected, both = off.values()
    assert both < 0.01 and apart > 2 * both and uncorrected > 2 * both


def test_the_same_call_goes_on_from_its_file(rng: np.random.Generator, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = linear(rng, 12, 16, 5)
    x, path = normal(rng, 64, 12), tmp_path / "weights"
    first = weights(graph.quantize(model, [x], weight=FOUR, methods=NAMES, resume=path))
    monkeypatch.setattr("pytorch_quantization_c.methods.layer_rounding.rounded", None)
    again = weights(graph.quantize(model, [x], weight=FOUR, methods=NAMES, resume=path))
    assert all(np.array_equal(first[name], again[name]) for name in first) and len(first) == 2


def test_samples_are_as_many_as_fit_into_memory(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = linear(rng, 12, 16, 5)
    data = [normal(rng, 1, 12) for _ in range(40)]
    few = weights(graph.quantize(model, data[:3], weight=FOUR, methods=["sequential_gptq"]))
    monkeypatch.setattr(sequential, "AT_ONCE", 3 * 2 * 4 * (16 + 16))     # what a layer's result and its ReLU's hold
    cut = weights(graph.quantize(model, data, weight=FOUR, methods=["sequential_gptq"]))
    assert all(np.array_equal(few[name], cut[name]) for name in few)


def test_what_it_does_not_go_with_is_said(rng: np.random.Generator) -> None:
    model, _ = linear(rng, 12, 5)
    x = normal(rng, 9, 12)
    with pytest.warns(UserWarning, match="'gptq' and 'sequential_gptq'"):
        graph.quantize(model, [x], methods=["gptq", "sequential_gptq"])
    with pytest.raises(ValueError, match="Expected `batches` for the method 'sequential_gptq'"):
        graph.quantize(model, None, methods=["sequential_gptq"])
    module = float_nn.Sequential(float_nn.Linear(12, 5))
    pq.replace(module)
    with pytest.raises(ValueError, match="Expected `methods` to be a tuple of names out of"):
        pq.improve(module, [x], ["sequential_gptq"])


def test_by_default_weights_of_up_to_four_bits(rng: np.random.Generator) -> None:
    """Those are rounded for what rounding the others makes of their inputs; wider ones stay as they are."""
    model, _ = linear(rng, 12, 40, 20, 5)
    x = normal(rng, 64, 12)
    wide = {"re:.*2\\Z": {"weight": QuantDescriptor(8, axis=0)}}
    mixed = graph.quantize(model, [x], weight=FOUR, overrides=wide)
    named = graph.quantize(model, [x], weight=FOUR, overrides=wide, methods=())
    names = [each.layer for each in graph.gains(mixed) if each.method == "sequential_gptq"]
    assert len(names) == 2 and len(weights(mixed)) == 3
    for name, weight in weights(mixed).items():
        assert np.array_equal(weight, weights(named)[name]) == (name not in names)
    assert not [each for each in graph.gains(graph.quantize(model, [x])) if each.method == "sequential_gptq"]
    expected, = graph.interpret(model, {"x": x})
    assert sqnr(expected, graph.interpret(mixed, {"x": x})[0]) > sqnr(expected, graph.interpret(named, {"x": x})[0]) + 2

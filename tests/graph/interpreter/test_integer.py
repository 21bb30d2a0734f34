"""Quantised layers in graphs have the bits of the layers of `nn`; with zero points exact sums, rounded once."""
from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph, integer, nn, tensor_quant
from pytorch_quantization_c.graph.interpreter.exact import fma
from pytorch_quantization_c.graph.nodes import QuantizerSpec, declare, fake_quant

Spec = QuantizerSpec


def quantized(node: str, x: Any, weight: Any, specs: tuple[Spec, Spec], ranges: tuple[Any, Any],
              constants: dict[str, Any], multiplies: str | None = None) -> ir.Model:
    """A model whose first node, or that of the operator `multiplies`, has w as its second input, with a quantiser at
    x and one at w."""
    shape = ",".join(map(str, x.shape))
    head = '<ir_version: 9, opset_import: ["": 17]>'
    proto = onnx.parser.parse_model(f"{head} g (float[{shape}] x) => (float y) {{ {node} }}")
    for name, array in {"w": weight, **constants}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    model = ir.from_proto(proto)
    first = next(iter(model.graph))
    layer = next(node for node in model.graph if multiplies in (None, node.op_type))
    for number, node, spec, amax in zip((0, 1), (first, layer), specs, ranges, strict=True):
        value = node.inputs[number]
        assert value is not None
        made = fake_quant(model.graph, value, amax, spec, "xw"[number])
        model.graph.insert_before(first, made)
        ir.convenience.replace_all_uses_with(value, made.outputs[0])
        made.replace_input_with(0, value)
    declare(model)
    return model


def of_module(layer: Any, amax: float | None) -> Any:
    """The layer, calibrated."""
    if amax is not None:
        layer.input_quantizer.amax = np.float32(amax)
    return layer


def descriptors(bits: int, axis: int) -> dict[str, Any]:
    return {"quant_desc_input": tensor_quant.QuantDescriptor(bits),
            "quant_desc_weight": tensor_quant.QuantDescriptor(bits, axis=axis)}


def per_channel(weight: Any, axis: int) -> np.ndarray:
    return np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))


CONVS = [
    ("Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w, b)", nn.QuantConv2d, (6, 8, 3), {"padding": 1, "stride": 2}),
    ("Conv<group=2, dilations=[2, 2]>(x, w, b)", nn.QuantConv2d, (6, 8, 3), {"groups": 2, "dilation": 2}),
    ("Conv<group=6, auto_pad=\"SAME_UPPER\">(x, w, b)", nn.QuantConv2d, (6, 6, 3), {"groups": 6, "padding": "same"}),
    ("ConvTranspose<strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]>(x, w, b)", nn.QuantConvTranspose2d,
     (6, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ("ConvTranspose<group=2>(x, w, b)", nn.QuantConvTranspose2d, (6, 4, 3), {"groups": 2}),
]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("amax", [2.5, None])
@pytest.mark.parametrize(("text", "kind", "sizes", "options"), CONVS)
def test_convolutions(rng: np.random.Generator, text: str, kind: Any, sizes: Any, options: Any, amax: Any,
                      bits: int) -> None:
    axis = 1 if "Transpose" in text else 0
    layer = of_module(kind(*sizes, **options, **descriptors(bits, axis)), amax)
    x = rng.normal(size=(2, 6, 9, 10)).astype(np.float32)
    weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
    model = quantized(f"y = {text}", x, weight, (Spec(bits, narrow=False), Spec(bits, narrow=False, axis=axis)),
                      (amax, per_channel(weight, axis)), {"b": bias})
    expected = layer(x)
    assert layer.execution == "int8"
    assert np.array_equal(graph.interpret(model, {"x": x})[0], expected)
    with integer.float_only():
        assert np.array_equal(graph.interpret(model, {"x": x})[0], layer(x))


@pytest.mark.parametrize("text", ["y = Gemm<transB=1>(x, w, b)", "y = Gemm(x, w, b)", "t = MatMul(x, w) y = Add(t, b)",
                                  "t = MatMul(x, w) y = Add(b, t)"])
def test_linear_layers(rng: np.random.Generator, text: str) -> None:
    """A constant that is added to a MatMul is its bias, as in a linear layer."""
    layer = of_module(nn.QuantLinear(37, 11, **descriptors(8, 0)), 2.0)
    x = rng.normal(size=(5, 37)).astype(np.float32)
    weight = np.asarray(layer.weight)
    rows = "transB" in text
    model = quantized(text, x, weight if rows else weight.T.copy(),
                      (Spec(narrow=False), Spec(narrow=False, axis=0 if rows else 1)), (2.0, per_channel(weight, 0)),
                      {"b": np.asarray(layer.bias)})
    assert np.array_equal(graph.interpret(model, {"x": x})[0], layer(x))


def test_a_product_that_somebody_asks_for_has_no_bias(rng: np.random.Generator) -> None:
    x, weight = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    ranges = 2.0, per_channel(weight, 1)
    model = quantized("t = MatMul(x, w) y = Add(t, b)", x, weight, (Spec(), Spec(axis=1)), ranges, {"b": bias})
    interpreter = graph.Interpreter(model)
    product, whole, quantised = interpreter.run({"x": x}, ["t", "y", "x.y"])
    assert np.abs(product + bias - whole).max() < 1e-6
    assert np.array_equal(whole, interpreter.run({"x": x})[0])
    assert np.array_equal(quantised, tensor_quant.fake_tensor_quant(x, 2.0, 8, False, True))
    seen: dict[str, Any] = {}
    interpreter.run({"x": x}, observe=lambda name, array: seen.setdefault(name, array), watch=["t", "x"])
    assert list(seen) == ["x", "t"] and np.array_equal(seen["t"], product)


def exact(x: Any, weight: Any, bias: Any, x_spec: Spec, x_amax: float, w_amax: Any) -> np.ndarray:
    """One output after the other in fractions, rounded as the layers do: the sum, and the whole."""
    x_scale = np.float32(x_spec.bound) / np.float32(x_amax)
    w_scale = (np.float32(127) / w_amax).astype(np.float32)
    point = x_spec.zero_point or 0
    q = np.clip(np.rint(x * x_scale) + point, x_spec.low, x_spec.bound) - point
    k = np.clip(np.rint(weight * w_scale[:, None]), -127, 127)
    sums = (q.astype(np.int64) @ k.T.astype(np.int64)).astype(np.float32)
    scale = ((1 / np.float64(x_scale)) * (1 / w_scale.astype(np.float64))).astype(np.float32)
    rounded = [[np.float32(float_of(Fraction(float(s)) * Fraction(float(f)) + Fraction(float(b))))
                for s, f, b in zip(row, scale, bias, strict=True)] for row in sums]
    return np.array(rounded, np.float32)


def float_of(value: Fraction) -> np.float32:
    """The nearest float32, ties to even."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    best = min(abs(Fraction(float(each)) - value) for each in around)
    nearest = [each for each in around if abs(Fraction(float(each)) - value) == best]
    return next((each for each in nearest if each.view(np.int32) % 2 == 0), nearest[0])


@pytest.mark.parametrize("spec", [Spec(unsigned=True, zero_point=97), Spec(unsigned=True, zero_point=0),
                                  Spec(zero_point=-20, narrow=False), Spec(6, unsigned=True, zero_point=31)])
def test_zero_points(rng: np.random.Generator, spec: Spec) -> None:
    x = rng.normal(0.3, 1, size=(7, 900)).astype(np.float32)  # sums beyond 2^24
    weight, bias = rng.normal(size=(5, 900)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    w_amax = per_channel(weight, 0)
    model = quantized("y = Gemm<transB=1>(x, w, b)", x, weight, (spec, Spec(axis=0)), (4.0, w_amax), {"b": bias})
    assert np.array_equal(graph.interpret(model, {"x": x})[0], exact(x, weight, bias, spec, 4.0, w_amax))


def test_padding_is_zero_whatever_the_zero_point(rng: np.random.Generator) -> None:
    x = rng.normal(1, 1, size=(1, 3, 5, 5)).astype(np.float32)
    weight = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    spec, w_spec = Spec(unsigned=True, zero_point=60), Spec(axis=0)
    model = quantized("y = Conv<pads=[1, 1, 1, 1]>(x, w)", x, weight, (spec, w_spec), (5.0, per_channel(weight, 0)), {})
    interpreter = graph.Interpreter(model)
    fq, fw = interpreter.run({"x": x}, ["x.y", "w.y"])
    expected = float_nn.functional.conv2d(fq.astype(float), fw.astype(float), padding=1)
    assert np.abs(interpreter.run({"x": x})[0] - expected).max() < 1e-5


MOVED = [("r = Reshape(x, s) y = Gemm<transB=1>(r, w)", {"s": np.array([4, -1])}),
         ("r = Flatten(x) y = Gemm<transB=1>(r, w)", {}),
         ("t = Transpose<perm=[0, 2, 1]>(x) r = Reshape(t, s) y = Gemm<transB=1>(r, w)", {"s": np.array([4, -1])}),
         ("c = Concat<axis=1>(x, x) r = Flatten(c) t = Slice(r, i, j, k) y = Gemm<transB=1>(t, w)",
          {"i": np.array([0]), "j": np.array([6]), "k": np.array([1])})]


@pytest.mark.parametrize(("text", "constants"), MOVED)
def test_integers_behind_what_moves_them(rng: np.random.Generator, text: str, constants: Any) -> None:
    """A quantiser may stand ahead of operators that only move numbers: the layer behind them is one on integers."""
    x, weight = rng.normal(size=(4, 2, 3)).astype(np.float32), rng.normal(size=(3, 6)).astype(np.float32)
    model = quantized(text, x, weight, (Spec(narrow=False), Spec(axis=0)), (2.0, per_channel(weight, 0)), constants,
                      "Gemm")
    interpreter = graph.Interpreter(model)
    y, before = interpreter.run({"x": x}, ["y", text.split("(")[-1].split(",")[0]])
    layer = nn.QuantLinear(6, 3, bias=False, **descriptors(8, 0))
    layer.weight[...] = weight
    of_module(layer, 2.0)
    assert np.array_equal(y, layer(before)) and layer.execution == "int8"
    assert "int8" in [step.execution for step in interpreter.plan.steps]


def test_fma_rounds_once(rng: np.random.Generator) -> None:
    """Where the sum lies next to the middle between two floats, rounding twice would go wrong."""
    sums = rng.integers(-2 ** 24, 2 ** 24, 20_000).astype(np.float32)
    scale = np.float32(1) + rng.integers(0, 2 ** 10, 20_000).astype(np.float32) * np.float32(2.0 ** -23)
    bias = (rng.normal(size=20_000) * 2.0 ** rng.integers(-40, 20, 20_000)).astype(np.float32)
    sums[::3], bias[::3] = 2 ** 23 + 1, 2.0 ** -30 * np.sign(bias[::3])  # next to the middle
    scale[::3] = 1.5
    scale[1::50], bias[1::50] = 2.0 ** -148, 2.0 ** -149  # below the normal numbers
    got = fma(sums, scale, bias)
    expected = [float_of(Fraction(float(s)) * Fraction(float(f)) + Fraction(float(b)))
                for s, f, b in zip(sums, scale, bias, strict=True)]
    assert np.array_equal(got, np.array(expected, np.float32))
    columns = [each.reshape(100, 200).T for each in (sums, scale, bias)]
    assert np.array_equal(fma(*columns), got.reshape(100, 200).T)


def test_what_integers_cannot_do_is_done_in_floats(rng: np.random.Generator) -> None:
    x, weight = rng.normal(size=(4, 6)).astype(np.float32), rng.normal(size=(3, 6)).astype(np.float32)
    for specs, amax in (((Spec(16), Spec(axis=0)), per_channel(weight, 0)), ((Spec((4, 3)), Spec((4, 3))), 3.0),
                        ((Spec(), Spec(4, axis=1, block=3)), np.abs(weight.reshape(3, 2, 3)).max(axis=2))):
        model = quantized("y = Gemm<transB=1>(x, w)", x, weight, specs, (2.0, amax), {})
        interpreter = graph.Interpreter(model)
        fq, fw, y = interpreter.run({"x": x}, ["x.y", "w.y", "y"])
        assert np.array_equal(y, fq @ fw.T)
    model = quantized("y = Gemm<transB=1>(x, w)", x, weight, (Spec(), Spec(axis=0)), (2.0, per_channel(weight, 0)), {})
    x[1, 2] = np.nan
    y = graph.interpret(model, {"x": x})[0]
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2, 3]]).all()

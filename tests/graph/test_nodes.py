"""The quantisers of a graph: what a node says, and what it computes."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph, tensor_quant
from pytorch_quantization_c.graph.nodes import QuantizerSpec, declare, fake_quant, quantizer, quantizers, set_amax
from pytorch_quantization_c.graph.representation.arithmetic import fake_quantize, integers

MODEL = """<ir_version: 9, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }"""


def with_quantizer(amax: Any, spec: QuantizerSpec) -> ir.Model:
    model = graph.load(onnx.parser.parse_model(MODEL))
    (relu,) = model.graph
    x = relu.inputs[0]
    assert x is not None
    node = fake_quant(model.graph, x, amax, spec, "input")
    model.graph.insert_before(relu, node)
    relu.replace_input_with(0, node.outputs[0])
    declare(model)
    return model


@pytest.mark.parametrize("spec", [
    QuantizerSpec(), QuantizerSpec(4, narrow=False), QuantizerSpec(8, True), QuantizerSpec(16, axis=1),
    QuantizerSpec(8, True, zero_point=0), QuantizerSpec(8, True, zero_point=(0, 1, 2, 3), axis=1),
    QuantizerSpec((4, 3)), QuantizerSpec(4, axis=1, block=2)])
def test_a_node_says_what_it_was_made_from(spec: QuantizerSpec) -> None:
    amax = np.float32(2.5) if spec.axis is None else np.arange(1, 5, dtype=np.float32)
    amax = amax.reshape(1, 4)[:, :2] if spec.block else amax
    model = with_quantizer(amax, spec)
    onnx.checker.check_model(ir.to_proto(model))
    (found,) = quantizers(ir.from_proto(ir.to_proto(model)))
    assert found.spec == spec and found.amax is not None and np.array_equal(found.amax, amax)
    assert (found.name, found.input.name, found.output.name) == ("input", "x", "input.y")


def test_dynamic_quantizers_have_no_amax() -> None:
    model = with_quantizer(None, QuantizerSpec(unsigned=True, two_sided=True))
    (found,) = quantizers(model)
    assert found.is_dynamic and found.spec.two_sided


def test_another_amax() -> None:
    model = with_quantizer(1.0, QuantizerSpec())
    (found,) = quantizers(model)
    set_amax(found.node, 3.0)
    amax = quantizer(found.node).amax
    assert amax is not None and amax == 3.0
    with pytest.raises(ValueError, match=r"Expected `amax` of quantiser 'input' >= 0 and finite, got -1"):
        set_amax(found.node, -1.0)
    with pytest.raises(ValueError, match="with 0 dimensions, got shape"):
        set_amax(found.node, [1.0, 2.0])


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": (5, 3)}, {"zero_point": 200}, {"zero_point": (1, 2)},
                                   {"block": 4}, {"axis": 0, "block": 0}, {"bits": (4, 3), "zero_point": 1}])
def test_senseless_specs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="^Expected "):
        QuantizerSpec(**wrong)


def plain(x: np.ndarray, amax: np.ndarray, spec: QuantizerSpec, zero_point: Any) -> np.ndarray:
    """The formula of the docstring, in NumPy's float32."""
    assert isinstance(spec.bits, int)
    scale = (np.float32(spec.bound) / np.asarray(amax, np.float32)).astype(np.float32)
    q = np.clip(np.rint(x * scale) + zero_point, spec.low, spec.bound)
    return ((q - zero_point).astype(np.float32) / scale).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("zero_point", [None, 0, 1, (0, 1, 2, 0)])
def test_values(rng: np.random.Generator, bits: int, unsigned: bool, narrow: bool, zero_point: Any) -> None:
    several = isinstance(zero_point, tuple)
    if several and bits == 2:
        zero_point = (0, 1, 1, 0)
    spec = QuantizerSpec(bits, unsigned, narrow, zero_point, 1 if several else None)
    amax = np.array([0.5, 1.0, 1.5, 3.0], np.float32) if several else np.float32(1.25)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    x = np.abs(x) if unsigned and zero_point is None else x
    point = np.asarray(zero_point or 0)
    expected = plain(x, amax, spec, point)
    assert np.array_equal(fake_quantize(x, amax, spec), expected)
    assert np.array_equal(graph.interpret(with_quantizer(amax, spec), {"x": x})[0], np.maximum(expected, 0))
    q, scale = integers(x, amax, spec)
    assert np.array_equal(q / scale, expected)


def test_values_without_a_zero_point_are_those_of_the_library(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 4)).astype(np.float32)
    amax = np.abs(x).max(axis=0)
    expected = tensor_quant.fake_tensor_quant(x, amax.reshape(1, 4), 8, False, True)
    assert np.array_equal(fake_quantize(x, amax, QuantizerSpec(axis=1)), expected)
    assert np.array_equal(fake_quantize(x, None, QuantizerSpec(axis=1)), expected)
    expected = tensor_quant.fake_tensor_quant(x, np.abs(x).max(), 8, False, True)
    assert np.array_equal(fake_quantize(x, None, QuantizerSpec()), expected)
    expected = tensor_quant.scaled_e4m3(x, np.float32(2), 4, 3)
    assert np.array_equal(fake_quantize(x, np.float32(2), QuantizerSpec((4, 3))), expected)


def test_blocks_have_an_amax_each(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 7)).astype(np.float32)
    amax = np.array([np.abs(x[:, i:i + 3]).max(axis=1) for i in (0, 3, 6)]).T
    expected = plain(x, np.repeat(amax, 3, 1)[:, :7], QuantizerSpec(4, axis=1), 0)
    assert np.array_equal(fake_quantize(x, amax, QuantizerSpec(4, axis=1, block=3)), expected)


def test_two_sided_ranges_are_those_of_dynamic_quantize_linear(rng: np.random.Generator) -> None:
    from onnx.reference.ops.op_dynamic_quantize_linear import DynamicQuantizeLinear

    x = rng.normal(2, 1, size=(50, 4)).astype(np.float32)
    q, step, zero = DynamicQuantizeLinear.eval(x)
    expected = (q.astype(np.float32) - np.float32(zero)) * step
    got = fake_quantize(x, None, QuantizerSpec(unsigned=True, two_sided=True))
    assert np.abs(got - expected).max() <= step * 1.0001 and np.mean(np.abs(got - expected) > step / 2) < 0.01


def test_special_values() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.1, 0.0], np.float32)
    clamped = fake_quantize(x, np.float32(2), QuantizerSpec(unsigned=True, zero_point=0))
    assert np.array_equal(clamped, np.array([np.nan, 2, 0, 0, 0], np.float32), equal_nan=True)
    assert not fake_quantize(np.ones(3, np.float32), np.float32(0), QuantizerSpec(zero_point=3)).any()
    with pytest.raises(TypeError, match="Negative values"):
        fake_quantize(np.array([-1.0], np.float32), np.float32(2), QuantizerSpec(unsigned=True))
    with pytest.raises(TypeError, match="Negative values"):
        integers(np.array([-1.0], np.float32), np.float32(2), QuantizerSpec(unsigned=True))

"""Formats of few bits in graphs: traced layers, files, and what onnx.reference makes of those."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, graph, nn, tensor_quant
from pytorch_quantization_c.graph.nodes import QuantizerSpec
from pytorch_quantization_c.tensor_quant import QuantDescriptor

WEIGHTS = {"MXFP8": 21, "MXFP8_E5M2": 21, "MXFP4": 23, "MXINT8": 21, "NVFP4_WEIGHT": 23, "INT4_GROUPS_OF_32_WEIGHT": 21}
INPUTS = ("MXFP8", "MXFP6", "NVFP4_INPUT", "8BIT_AFFINE_PER_TENSOR")


def descriptor(name: str) -> Any:
    return getattr(tensor_quant, f"QUANT_DESC_{name}")


def same(got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())


def run(model: Any, x: Any) -> Any:
    return graph.interpret(model, {model.graph.inputs[0].name: x})[0]


def compiled(model: Any, x: Any) -> Any:
    return graph.compile(model).run(None, {model.graph.inputs[0].name: x})[0]


def traced(layer: Any, x: Any) -> Any:
    return graph.trace(float_nn.Sequential(layer).eval(), x)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_traced_saved_and_read(name: str, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(3, 70)).astype(np.float32)
    layer = nn.QuantLinear(70, 8, quant_desc_weight=descriptor(name))
    layer.input_quantizer.disable()
    wanted = x @ layer.weight_quantizer(layer.weight).T + layer.bias
    model = traced(layer, x)
    same(run(model, x), wanted)
    graph.save(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    assert max(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")) >= WEIGHTS[name]
    session = onnx.reference.ReferenceEvaluator(proto)
    same(session.run(None, {session.input_names[0]: x})[0], wanted)
    same(run(graph.load(tmp_path / "model.onnx"), x), wanted)


FOUR = [({"block_sizes": {-1: 32}, "unsigned": True}, "UINT4"), ({"block_sizes": {-1: 32}}, "INT4"),
        ({"axis": 0}, "INT4"), ({"axis": 0, "unsigned": True}, "UINT4"), ({"axis": 0, "zero_point": True}, "UINT4")]


@pytest.mark.parametrize("settings, kind", FOUR, ids=str)
def test_four_bits_are_saved_as_such(settings: Any, kind: str, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(3, 70)).astype(np.float32)
    layer = nn.QuantLinear(70, 8, quant_desc_weight=QuantDescriptor(4, **settings))
    layer.input_quantizer.disable()
    if settings.get("unsigned"):
        layer.weight[...] = np.abs(layer.weight)
    wanted = x @ layer.weight_quantizer(layer.weight).T + layer.bias
    graph.save(traced(layer, x), tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto)
    codes, = (each for each in proto.graph.initializer if each.data_type == getattr(onnx.TensorProto, kind)
              and len(each.dims) == 2 and 70 in each.dims)
    assert len(codes.raw_data) == 8 * 70 // 2  # two in a byte
    assert [each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")] == [21]
    session = onnx.reference.ReferenceEvaluator(proto)
    same(session.run(None, {session.input_names[0]: x})[0], wanted)
    same(run(graph.load(tmp_path / "model.onnx"), x), wanted)


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_traced(name: str, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(3, 70)).astype(np.float32)
    layer = nn.QuantLinear(70, 8, quant_desc_input=descriptor(name))
    with pq.integer.float_only():
        wanted = layer(x)
    model = traced(layer, x)
    same(run(model, x), wanted)
    same(compiled(model, x), wanted)
    if "AFFINE" not in name:
        with pytest.raises(graph.GraphError, match="blocks with rounded scales"):
            graph.save(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("bits, opset", [((5, 2), 19), ((4, 3), 19), ((2, 1), 23)])
def test_floats_with_one_amax(bits: Any, opset: int, rng: np.random.Generator, tmp_path: Any) -> None:
    x = rng.normal(size=(3, 70)).astype(np.float32)
    desc = QuantDescriptor(bits, amax=2.5)
    layer = nn.QuantLinear(70, 8, quant_desc_input=desc, quant_desc_weight=QuantDescriptor(bits))
    wanted = layer(x)
    model = traced(layer, x)
    same(run(model, x), wanted)
    graph.save(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    assert max(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")) >= opset
    same(run(graph.load(tmp_path / "model.onnx"), x), wanted)
    got = onnx.reference.ReferenceEvaluator(proto).run(None, {model.graph.inputs[0].name: x})[0]
    near = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert near < 0.05   # x / scale there, x * (1 / scale) here


def test_a_calibrated_range_with_two_ends(rng: np.random.Generator, tmp_path: Any) -> None:
    x = np.maximum(rng.normal(size=(3, 70)), -0.3).astype(np.float32)
    layer = nn.QuantLinear(70, 8, quant_desc_input=descriptor("8BIT_AFFINE_PER_TENSOR"))
    with pq.calibrating(layer, load_amax=True):
        layer(x)
    wanted, model = layer(x), traced(layer, x)
    same(run(model, x), wanted)
    same(compiled(model, x), wanted)
    graph.save(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    same(onnx.reference.ReferenceEvaluator(proto).run(None, {model.graph.inputs[0].name: x})[0], wanted)
    again = graph.load(tmp_path / "model.onnx")
    np.testing.assert_array_equal(run(again, x), run(model, x))


def test_specs_are_checked() -> None:
    assert QuantizerSpec((2, 1), axis=1, block=32, scale_bits=(8, 0)).attributes()["scale_bits"] == [8, 0]
    for arguments in (dict(scale_bits=(8, 0)), dict(axis=0, block=2, scale_bits=(5, 2)), dict(bits=(3, 4)),
                      dict(bits=16, axis=0, block=2, scale_bits=(8, 0))):
        with pytest.raises(ValueError, match="Expected"):
            QuantizerSpec(**arguments)

"""A quantised model in memory holds what its quantisers compute: onnx.reference and onnxruntime run it as it is."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.files.bodies import give_bodies
from pytorch_quantization_c.graph.nodes import QuantizerSpec, declare, fake_quant
from pytorch_quantization_c.graph.representation.arithmetic import fake_quantize
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images

Array = NDArray[Any]
ALL_POSITIVE = QuantizerSpec(unsigned=True, narrow=False, zero_point=100)
CASES: dict[str, tuple[QuantizerSpec, Any, int]] = {
    "one range": (QuantizerSpec(), 1.3, 13), "a zero point": (ALL_POSITIVE, 2.5, 14),
    "4 bits by axis": (QuantizerSpec(4, axis=1), [0.5, 1, 2], 17), "16 bits": (QuantizerSpec(16, narrow=False), 3, 21),
    "an amax of nothing": (QuantizerSpec(axis=0), [0.5, 2e-8], 21),
    "from the end": (QuantizerSpec(axis=-1), [1, 2], 23),
    "unsigned": (QuantizerSpec(unsigned=True, zero_point=0), 2, 18), "dynamic": (QuantizerSpec(), None, 13),
    "dynamic by axis": (QuantizerSpec(axis=1), None, 18),
    "dynamic from min to max": (QuantizerSpec(unsigned=True, narrow=False, two_sided=True), None, 21)}


def one_quantiser(spec: QuantizerSpec, amax: Any, opset: int) -> ir.Model:
    value = ir.Value(name="x", shape=ir.Shape([2, 3, 2]), type=ir.TensorType(ir.DataType.FLOAT))
    inner = ir.Graph([value], [], nodes=[], opset_imports={"": opset}, name="one")
    model = ir.Model(inner, ir_version=7)
    declare(model)
    node = fake_quant(inner, value, amax, spec, "q")
    inner.append(node)
    inner.outputs.append(node.outputs[0])
    give_bodies(model)
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_function_is_the_quantiser(name: str) -> None:
    spec, amax, opset = CASES[name]
    model = one_quantiser(spec, amax, opset)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(3).standard_normal((2, 3, 2)).astype(np.float32)
    if amax is not None:
        x[0, 0, 0], x[1, 1, 1] = np.nan, 1e9
    wanted = fake_quantize(x, None if amax is None else np.float32(amax), spec)
    np.testing.assert_array_equal(ReferenceEvaluator(proto).run(None, {"x": x})[0], wanted)
    np.testing.assert_array_equal(graph.interpret(graph.load(proto), {"x": x})[0], wanted)


@pytest.mark.parametrize("settings", [{}, {"target": "openvino"}, {"weight": QuantDescriptor(4, axis=0)}],
                         ids=["16-bit residuals", "opset 13", "4 bits"])
@pytest.mark.parametrize("has_data", [True, False])
def test_a_quantised_model_runs_in_the_reference(settings: dict[str, Any], has_data: bool,
                                                     tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    model, x = convolutional(rng), images(rng, 4)
    int8 = graph.quantize(model, [x] if has_data else None, **settings)
    proto = ir.to_proto(int8)
    onnx.checker.check_model(proto)
    got, = ReferenceEvaluator(proto).run(None, {int8.graph.inputs[0].name or "": x})
    wanted, = graph.interpret(int8, {int8.graph.inputs[0].name or "": x})
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
    graph.save(int8, tmp_path / "int8.onnx")
    assert not onnx.load(tmp_path / "int8.onnx").functions


@pytest.mark.parametrize("spec", [QuantizerSpec((4, 3)), QuantizerSpec(axis=0, block=2)])
def test_what_no_function_says_has_none(spec: QuantizerSpec) -> None:
    amax = np.ones((1, 3, 2), np.float32) if spec.block else 1
    assert not one_quantiser(spec, amax, 21).functions

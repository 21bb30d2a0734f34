"""Quantisers that find their ranges themselves, saved: what onnx.reference makes of the file."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from pytorch_quantization_c import graph, nn
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.nodes import QuantizerSpec
from pytorch_quantization_c.graph.representation.arithmetic import fake_quantize
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .test_bodies import one_quantiser

Array = NDArray[Any]
SPECS = {
    "of all": QuantizerSpec(), "unsigned": QuantizerSpec(unsigned=True, zero_point=0),
    "of rows": QuantizerSpec(axis=0), "4 bits of rows": QuantizerSpec(4, axis=0),
    "of channels": QuantizerSpec(axis=1), "from the end": QuantizerSpec(axis=-1),
    "16 bits of rows": QuantizerSpec(16, axis=0), "two ends": QuantizerSpec(unsigned=True, two_sided=True),
    "two ends of 4 bits": QuantizerSpec(4, unsigned=True, two_sided=True),
    "two ends of 16 bits": QuantizerSpec(16, unsigned=True, two_sided=True),
}


def by_definition(x: Array, spec: QuantizerSpec) -> tuple[Array, Array]:
    """Quantised and back in float64, and the steps."""
    axes = None if spec.axis is None else tuple(i for i in range(x.ndim) if i != spec.axis % x.ndim)
    codes = 2 ** int(str(spec.bits))
    if spec.two_sided:
        low, high = min(x.min(), 0.0), max(x.max(), 0.0)
        step = np.float64(high - low) / (codes - 1)
        return (np.clip(np.rint(x / step) + np.rint(-low / step), 0, codes - 1) - np.rint(-low / step)) * step, step
    largest = codes - 1 if spec.unsigned else codes // 2 - 1
    step = np.abs(x).max(axes, keepdims=True).astype(np.float64) / largest
    step = np.where(step > 0, step, 1)
    return np.clip(np.rint(x / step), 0 if spec.unsigned else -largest, largest) * step, step


@pytest.mark.parametrize("opset", [19, 23])
@pytest.mark.parametrize("name", SPECS)
def test_files_find_the_range(name: str, opset: int, rng: np.random.Generator, tmp_path: Path) -> None:
    spec, x = SPECS[name], rng.normal(size=(2, 3, 2)).astype(np.float32)
    x *= np.array([1, 30, 0.01], np.float32)[:, None] * np.array([5, 0.2], np.float32).reshape(2, 1, 1)
    wanted, step = by_definition(x, spec)
    model = one_quantiser(spec, None, opset)
    np.testing.assert_allclose(fake_quantize(x, None, spec), wanted, rtol=1e-6, atol=1e-9)
    graph.save(model, tmp_path / "one.onnx")
    proto = onnx.load(tmp_path / "one.onnx")
    found: Any = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(graph.interpret(graph.load(proto), {"x": x})[0], fake_quantize(x, None, spec))
    np.testing.assert_array_equal(np.asarray(ReferenceEvaluator(proto).run(None, {"x": 0 * x})[0]), 0)
    assert np.all(step > 0)


def test_a_range_for_each_block_in_flight_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="'q', which finds a range for each block of 2"):
        graph.save(one_quantiser(QuantizerSpec(axis=2, block=2), None, 21), tmp_path / "one.onnx")
    assert not (tmp_path / "one.onnx").exists()


def test_an_array_of_unknown_rank_is_refused(tmp_path: Path) -> None:
    model = one_quantiser(QuantizerSpec(axis=0), None, 21)
    model.graph.inputs[0].shape = None
    with pytest.raises(GraphError, match="known number of dimensions of 'x'.*each index of axis 0"):
        graph.save(model, tmp_path / "one.onnx")


WEIGHTS = {"8 bits": QuantDescriptor(8, axis=0), "4 bits in groups": QuantDescriptor(4, block_sizes={-1: 32})}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("outer", [(5,), (1, 5), (5, 2, 3)], ids=str)
def test_rows_of_a_linear_layer_are_integers(outer: Any, weight: str, bias: bool, rng: np.random.Generator,
                                             tmp_path: Path) -> None:
    """Traced, compiled, saved and loaded: the layer's own bits, on integers; the file is the same formula."""
    factors = np.array([1, 30, 0.01, 0, 1e-9], np.float32).reshape(5, *[1] * (len(outer) - (outer[0] == 1)))
    x = (rng.normal(size=(*outer, 64)) * factors).astype(np.float32)
    axis = tuple(range(len(outer))) if len(outer) > 1 else 0
    layer = nn.QuantLinear(64, 16, bias=bias, quant_desc_input=QuantDescriptor(8, axis=axis),
                           quant_desc_weight=WEIGHTS[weight]).eval()
    rows = by_definition(np.where(np.abs(x) < 1e-7, 0, x).reshape(-1, 64), QuantizerSpec(axis=0))[0]
    wanted = (rows @ layer.weight_quantizer(layer.weight).astype(np.float64).T).reshape(*outer, 16)
    atol = 1e-6 * np.abs(wanted).max(-1, keepdims=True) + 1e-12
    wanted += layer.bias if bias else 0
    model = graph.trace(layer, x)
    name = str(model.graph.inputs[0].name)
    session: Any = graph.compile(model)
    own = session.run(None, {name: x})[0]
    np.testing.assert_array_less(np.abs(own - wanted), atol + 1e-6 * np.abs(wanted))
    np.testing.assert_array_equal(own, layer(x))
    assert layer.execution == "int8"
    assert "its product runs on integers" in str(session.summary())
    graph.save(model, tmp_path / "rows.onnx")
    proto = onnx.load(tmp_path / "rows.onnx")
    np.testing.assert_array_equal(graph.interpret(graph.load(proto), {name: x})[0], own)
    found: Any = ReferenceEvaluator(proto).run(None, {name: x})[0]
    np.testing.assert_array_less(np.abs(found - wanted), 10 * atol + 1e-5 * np.abs(wanted) + 1e-6)


@pytest.mark.parametrize("arguments", [
    {"two_sided": True}, {"unsigned": True, "two_sided": True, "axis": 0}, {"bits": (4, 3), "two_sided": True},
    {"unsigned": True, "two_sided": True, "zero_point": 3}, {"axis": 0, "block": 2, "zero_point": (1, 2)},
], ids=str)
def test_specs_that_contradict_themselves_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="with `two_sided`|one `zero_point` for blocks"):
        QuantizerSpec(**arguments)

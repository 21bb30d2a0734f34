"""Networks that onnxruntime has quantised: read into quantisers, they compute what onnxruntime computes."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers

from ...graph.models import model_of
from ...graph.small_network import batches, classifier
from .peer import run, signal_to_noise

LESS_NOISE = 6.0  # dB that our difference from onnxruntime lies below the noise of quantising
U8, S8, U16, S16 = QuantType.QUInt8, QuantType.QInt8, QuantType.QUInt16, QuantType.QInt16
QDQ, OPERATORS = QuantFormat.QDQ, QuantFormat.QOperator

# Format, types of activations and weights, a scale for each channel, other options. Weights of 7 bits where onnxruntime
# multiplies them with unsigned activations: on processors without VNNI its sums saturate.
STATIC: list[tuple[Any, Any, Any, bool, dict[str, Any]]] = [
    (QDQ, U8, S8, True, {}), (QDQ, S8, S8, True, {"ActivationSymmetric": True}), (QDQ, U8, U8, False, {}),
    (QDQ, S8, S8, False, {"AddQDQPairToWeight": True}), (QDQ, U16, S8, True, {}), (QDQ, S16, S8, False, {}),
    (QDQ, U8, S8, True, {"DedicatedQDQPair": True}), (QDQ, U8, S8, False, {"WeightSymmetric": False}),
    (QDQ, U8, S8, True, {"QuantizeBias": False}), (QDQ, U8, S8, True, {"UseQDQContribOps": True}),
    (OPERATORS, U8, S8, True, {}), (OPERATORS, U8, U8, False, {}), (OPERATORS, S8, S8, False, {}),
]


class Reader(CalibrationDataReader):
    def __init__(self, feeds: list[dict[str, Any]]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> Any:
        return next(self.feeds, None)


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "float.onnx"
    onnx.save(model, path)
    return path


def static(folder: Path, model: onnx.ModelProto, feeds: list[dict[str, Any]], setting: Any) -> str:
    """The path of the model as onnxruntime quantises it."""
    kind, activations, weights, per_channel, options = setting
    path = str(folder / "int8.onnx")
    quantize_static(written(folder, model), path, Reader(feeds), quant_format=kind, activation_type=activations,
                    weight_type=weights, per_channel=per_channel, extra_options=options,
                    reduce_range=kind is OPERATORS and weights is S8)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", STATIC, ids=str)
def test_whole_networks(rng: np.random.Generator, tmp_path: Path, setting: Any) -> None:
    """All its quantisers are read, and ours differs from onnxruntime by at least 6 dB less than quantising itself."""
    model, (feeds,) = classifier(rng), batches(rng, 1, 64)
    path = static(tmp_path, model, batches(rng, 8, 4), setting)
    loaded = graph.load(path)
    assert not [node.op_type for node in loaded.graph if "Linear" in node.op_type]
    assert len(list(quantizers(loaded))) >= 15
    (reference,), (theirs,), (ours,) = run(model, feeds), run(path, feeds), graph.interpret(loaded, feeds)
    assert signal_to_noise(ours, theirs) >= signal_to_noise(theirs, reference) + LESS_NOISE
    assert [value.name for value in loaded.graph.inputs] == ["x"]
    assert [value.name for value in loaded.graph.outputs] == ["y"]
    layers = [step for step in graph.Interpreter(loaded).plan.steps if step.execution == "int8" and not step.optional]
    assert len(layers) == (0 if setting[1] in (U16, S16) else 5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weights", [S8, U8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_dynamic_quantisation(rng: np.random.Generator, tmp_path: Path, weights: Any, per_channel: bool) -> None:
    """MatMulInteger and ConvInteger behind DynamicQuantizeLinear."""
    model, (feeds,) = classifier(rng), batches(rng, 1, 16)
    path = str(tmp_path / "int8.onnx")
    quantize_dynamic(written(tmp_path, model), path, per_channel=per_channel, weight_type=weights, reduce_range=True)
    loaded = graph.load(path)
    assert not [node.op_type for node in loaded.graph if "Integer" in node.op_type or "Linear" in node.op_type]
    assert any(found.is_dynamic and found.spec.two_sided for found in quantizers(loaded))
    (reference,), (theirs,), (ours,) = run(model, feeds), run(path, feeds), graph.interpret(loaded, feeds)
    assert signal_to_noise(ours, theirs) >= signal_to_noise(theirs, reference) + LESS_NOISE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_recurrent_layers(rng: np.random.Generator, tmp_path: Path, direction: str, per_channel: bool) -> None:
    """onnxruntime quantises the state as well: the difference is as large as that makes it."""
    count, size = 2 if direction == "bidirectional" else 1, 16
    constants = {"w": rng.normal(size=(count, 4 * size, 12)) / 4, "r": rng.normal(size=(count, 4 * size, size)) / 4,
                 "b": rng.normal(size=(count, 8 * size)) / 4}
    node = make_node("LSTM", ["x", "w", "r", "b"], ["y", "h", "c"], "lstm", hidden_size=size, direction=direction)
    model = model_of([node], {"x": [9, 2, 12]}, {"y": [9, count, 2, size], "h": [count, 2, size]}, constants)
    feeds = {"x": rng.normal(size=(9, 2, 12)).astype(np.float32)}
    path = str(tmp_path / "int8.onnx")
    quantize_dynamic(written(tmp_path, model), path, per_channel=per_channel, op_types_to_quantize=["LSTM"],
                     reduce_range=True)
    loaded = graph.load(path)
    assert [node.op_type for node in loaded.graph if node.op_type != "FakeQuant"] == ["DynamicFakeQuant", "LSTM"]
    reference, theirs, ours = run(model, feeds), run(path, feeds), graph.interpret(loaded, feeds)
    for exact, peer, own in zip(reference, theirs, ours, strict=True):
        assert signal_to_noise(own, exact) >= signal_to_noise(peer, exact) - 1
        assert signal_to_noise(own, peer) >= 30


LAYERS = [
    ("Conv", {"pads": [1, 1, 1, 1]}, (2, 6, 9, 9), (8, 6, 3, 3), True),
    ("Conv", {"group": 3}, (2, 6, 9), (6, 2, 3), True),
    ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (1, 4, 9, 8), (5, 4, 2, 3), False),
    ("Gemm", {"transB": 1}, (7, 20), (9, 20), True), ("MatMul", {}, (3, 4, 20), (20, 9), False),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", [STATIC[0], STATIC[1], STATIC[10], STATIC[11]], ids=str)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_single_layers_agree_to_a_step(rng: np.random.Generator, tmp_path: Path, setting: Any, layer: Any) -> None:
    """At most one step of the output's quantiser apart, and that in at most one of 100 numbers."""
    op, attributes, x_shape, w_shape, biased = layer
    constants = {"w": rng.normal(size=w_shape)} | ({"b": rng.normal(size=w_shape[0])} if biased else {})
    node = make_node(op, ["x", *constants], ["y"], "layer", **attributes)
    model = model_of([node], {"x": x_shape}, ["y"], constants)
    feeds = [{"x": rng.normal(size=x_shape).astype(np.float32)} for _ in range(4)]
    path = static(tmp_path, model, feeds, setting)
    loaded = graph.load(path)
    (theirs,), (ours,) = run(path, feeds[0]), graph.interpret(loaded, feeds[0])
    last = list(quantizers(loaded))[-1]
    assert last.amax is not None
    step = float(last.amax) / last.spec.bound if last.output.is_graph_output() else np.abs(theirs).max() / 255
    assert np.abs(ours - theirs).max() <= step * 1.001
    assert np.mean(np.abs(ours - theirs) > step / 2) <= 0.01


def test_codes_at_inputs_and_outputs_stay(rng: np.random.Generator) -> None:
    """A graph that reads bytes and writes bytes goes on doing so."""
    nodes = [make_node("DequantizeLinear", ["x", "s", "z"], ["f"], "dequantize"),
             make_node("Relu", ["f"], ["r"], "relu"),
             make_node("QuantizeLinear", ["r", "s", "z"], ["y"], "quantize")]
    model = model_of(nodes, {"x": [3, 4]}, ["y"], {"s": np.float32(0.25), "z": np.uint8(128)})
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    feeds = {"x": rng.integers(0, 256, (3, 4)).astype(np.uint8)}
    (theirs,), (ours,) = run(model, feeds), graph.interpret(graph.load(model), feeds)
    assert ours.dtype == np.uint8 and np.array_equal(ours, theirs)


@pytest.mark.parametrize("scales", [(np.float32(0.1), np.float32(0.2)), (np.float32(0.1), np.float32(0.1))])
def test_a_pair_with_two_scales_is_none(rng: np.random.Generator, scales: Any) -> None:
    nodes = [make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
             make_node("DequantizeLinear", ["q", "t", "z"], ["y"], "dequantize")]
    model = model_of(nodes, {"x": [3, 4]}, ["y"], {"s": scales[0], "t": scales[1], "z": np.int8(3)})
    feeds = {"x": rng.normal(size=(3, 4)).astype(np.float32)}
    loaded = graph.load(model)
    assert len(list(quantizers(loaded))) == (scales[0] == scales[1])
    (theirs,), (ours,) = run(model, feeds), graph.interpret(loaded, feeds)
    assert np.abs(theirs - ours).max() < 1e-6

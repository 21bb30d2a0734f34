"""Quantised graphs in files, run by OpenVINO."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import QuantizerSpec

from ..graph.models import model_of
from ..graph.quantized import FORMATS, Format, channels, lopsided, quantized
from ..graph.small_network import batches, classifier

LESS_NOISE = 6.0  # dB that the difference from OpenVINO lies below the noise of quantising
# Weights of at most 7 bits: the sums of its products saturate on processors without VNNI.
FORMS = [Format("signed", 17, lambda x: QuantizerSpec(narrow=False), channels(7)),
         Format("zero points", 17, lopsided, channels(7)),
         *(form for form in FORMATS if form.name in ("3 bits", "4 bits", "E4M3", "dynamic", "dynamic, two-sided"))]


def decibels(got: Any, expected: Any) -> float:
    noise = np.square(got.astype(float) - expected).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(expected.astype(float)).sum() / noise))


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3)])
def test_openvino_takes_quantised_recurrent_layers(rng: np.random.Generator, tmp_path: Path, op: str,
                                                   gates: int) -> None:
    """Its layers take constants alone for weights."""
    import openvino

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32) * np.float32(0.4)

    node = onnx.helper.make_node(op, ["x", "w", "r", "b"], ["y"], "layer", hidden_size=16)
    proto = model_of([node], {"x": [7, 2, 12]}, {"y": [7, 1, 2, 16]},
                     {"w": normal(1, gates * 16, 12), "r": normal(1, gates * 16, 16), "b": normal(1, gates * 32)})
    model, feeds = graph.load(proto), {"x": normal(7, 2, 12)}
    int8 = graph.quantize(model, [feeds])
    graph.save(int8, tmp_path / "saved.onnx")
    compiled = openvino.Core().compile_model(str(tmp_path / "saved.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (ours,), (reference,) = graph.interpret(int8, feeds), graph.interpret(model, feeds)
    assert decibels(compiled(feeds)[0], ours) >= decibels(ours, reference)
    assert np.array_equal(graph.interpret(graph.load(tmp_path / "saved.onnx"), feeds)[0], ours)
    assert (tmp_path / "saved.onnx").stat().st_size < 6000  # codes of 8 bits, and metadata


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_openvino_computes_the_same(rng: np.random.Generator, tmp_path: Path, form: Format) -> None:
    import openvino

    proto, (feeds,) = classifier(rng), batches(rng, 1, 16)
    model = quantized(proto, feeds, form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.save(model, tmp_path / "saved.onnx")
    compiled = openvino.Core().compile_model(str(tmp_path / "saved.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    theirs, (ours,) = compiled(feeds)[0], graph.interpret(model, feeds)
    (reference,) = graph.interpret(graph.load(proto), feeds)
    assert decibels(theirs, ours) >= decibels(ours, reference) + LESS_NOISE

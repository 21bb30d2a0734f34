"""The verbs of models on graphs: sensitivity and files of quantisers."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.model.sensitivity import sensitivity
from pytorch_quantization_c.model.state_file import load_quant_state, save_quant_state
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images


@pytest.mark.parametrize("layer", ["conv3", "gemm10"])
def test_the_layer_of_3_bits_is_the_most_sensitive(rng: np.random.Generator, tmp_path: Path, layer: str) -> None:
    model, data = convolutional(rng), [images(rng, 6)]
    int8 = graph.quantize(model, data, overrides={layer: QuantDescriptor(3)})
    found = sensitivity(int8, data, resume=tmp_path / "kept.json")
    assert found.rows[0].layer == layer and set(found.to_dict()) == {"conv0", "conv3", "conv5", "gemm10", "add6"}
    assert set(found.rows[0].quantizers) == {f"{layer}.weight", f"{layer}.input"}
    again = sensitivity(int8, data, resume=tmp_path / "kept.json")
    assert again.to_dict() == found.to_dict()
    by_metric = sensitivity(int8, metric=lambda each: float(np.abs(graph.interpret(each, {"x": data[0]})[0]).sum()))
    assert np.isfinite(by_metric.baseline) and len(by_metric.rows) == 5
    with pytest.raises(ValueError, match="Expected `model` to have quantisers"):
        sensitivity(model, data)


def test_ranges_go_through_a_file(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data = convolutional(rng), images(rng, 6)
    int8 = graph.quantize(model, [data], methods=())
    save_quant_state(int8, tmp_path / "ranges.safetensors")
    other = graph.quantize(model, [data[:1] * 3], methods=(), zero_point=False)
    assert np.any(graph.interpret(other, {"x": data})[0] != graph.interpret(int8, {"x": data})[0])
    assert load_quant_state(other, tmp_path / "ranges.safetensors") == ([], [])
    np.testing.assert_array_equal(graph.interpret(other, {"x": data})[0], graph.interpret(int8, {"x": data})[0])
    with pytest.raises(ValueError, match="same quantisers"):
        load_quant_state(graph.quantize(model, [data], exclude="gemm10"), tmp_path / "ranges.safetensors")

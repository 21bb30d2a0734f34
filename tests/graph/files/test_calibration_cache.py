"""Calibration caches: TensorRT's lines by hand, onnxruntime's by its own reading of names and numbers."""
from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, graph, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def model(**options: Any) -> Any:
    layer = nn.QuantLinear(6, 3, quant_desc_input=QuantDescriptor(8, **options))
    return graph.trace(float_nn.Sequential(layer).eval(), np.ones((2, 6), np.float32))


def test_the_lines(tmp_path: Any) -> None:
    made = model(amax=2.54)
    name = made.graph.inputs[0].name
    graph.save_calibration_cache(made, tmp_path / "trt")
    header, line = (tmp_path / "trt").read_text().splitlines()
    assert header.startswith("TRT-") and header.endswith("-EntropyCalibration2")
    assert line == f"{name}: {struct.pack('>f', np.float32(2.54) / np.float32(127)).hex()}" == f"{name}: 3ca3d70a"
    graph.save_calibration_cache(made, tmp_path / "ort", "onnxruntime")
    assert (tmp_path / "ort").read_text() == f"{name} {float(np.float32(2.54))}\n"


def test_ranges_with_two_ends(tmp_path: Any) -> None:
    for low, high in ((-0.5, 2.0), (-3.0, 1.0), (0.0, 1.5)):
        graph.save_calibration_cache(model(zero_point=True, amin=low, amax=high), tmp_path / "ort", "onnxruntime")
        found = float((tmp_path / "ort").read_text().split()[1])
        assert abs(found - max(high, -low)) < 0.02 * (high - low)


def test_what_is_refused(tmp_path: Any) -> None:
    with pytest.raises(graph.GraphError, match="one fixed range"):
        graph.save_calibration_cache(model(), tmp_path / "cache")
    with pytest.raises(ValueError, match="`target`"):
        graph.save_calibration_cache(model(amax=1.0), tmp_path / "cache", "coreml")
    assert not (tmp_path / "cache").exists()

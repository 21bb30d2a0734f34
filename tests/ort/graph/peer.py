"""onnxruntime as the peer of graphs: its answers, and how far ours are from them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

__all__ = ["optimized", "run", "signal_to_noise"]

Array = NDArray[Any]


def run(model: onnx.ModelProto | str, feeds: Mapping[str, Any], outputs: list[str] | None = None) -> list[Any]:
    """The outputs as onnxruntime computes them node by node: without its optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    source = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(session.run(outputs, dict(feeds)))


def optimized(path: str) -> onnx.ModelProto:
    """The model that onnxruntime's optimisations make of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = f"{path}.optimized", 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnx.load(f"{path}.optimized")


def signal_to_noise(got: Any, expected: Any) -> float:
    """In dB; infinite if they are equal."""
    expected = np.asarray(expected, np.float64)
    noise = np.square(np.asarray(got, np.float64) - expected).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(expected).sum() / noise))

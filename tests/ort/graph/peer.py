"""onnxruntime as the peer of graphs: its answers, and how far ours are from them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

__all__ = ["constant", "model_of", "run", "signal_to_noise"]

Array = NDArray[Any]


def run(model: onnx.ModelProto | str, feeds: Mapping[str, Any], outputs: list[str] | None = None) -> list[Any]:
    """The outputs as onnxruntime computes them node by node: without its optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    source = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(session.run(outputs, dict(feeds)))


def signal_to_noise(got: Any, expected: Any) -> float:
    """In dB; infinite if they are equal."""
    expected = np.asarray(expected, np.float64)
    noise = np.square(np.asarray(got, np.float64) - expected).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(expected).sum() / noise))


def constant(name: str, array: Any) -> onnx.TensorProto:
    """An initialiser; floats become float32."""
    array = np.asarray(array)
    return onnx.numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float64 else array, name)


def model_of(nodes: list[onnx.NodeProto], inputs: Mapping[str, Any], outputs: Mapping[str, Any] | list[str],
             constants: Mapping[str, Any], opset: int = 17) -> onnx.ModelProto:
    """A model with float32 inputs and outputs of these shapes."""
    shapes = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, each) for name, each in shapes.items()]
    graph = onnx.helper.make_graph(nodes, "g", values, results, [constant(k, v) for k, v in constants.items()])
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=imports,
                                  ir_version=onnx.helper.find_min_ir_version_for(imports))

"""Models made of nodes and constants."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

__all__ = ["constant", "model_of"]


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

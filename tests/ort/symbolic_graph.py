"""A graph builder with the `op` of torch's exporter, so that `symbolic` can be run by onnxruntime."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {np.dtype(np.float32): ("Float", TensorProto.FLOAT), np.dtype(np.float16): ("Half", TensorProto.FLOAT16)}


class Value:
    """A name in the graph; an input also knows its type, as torch's values do."""

    def __init__(self, name: str, array: Any = None) -> None:
        self.name, self.array = name, array

    def type(self) -> Value:
        return self

    def scalarType(self) -> str | None:
        return None if self.array is None else TYPES[self.array.dtype][0]

    def dim(self) -> int | None:
        return None if self.array is None else self.array.ndim


class Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def op(self, name: str, *inputs: Value, **attributes: Any) -> Value:
        domain, _, kind = name.rpartition("::")
        given = {}
        for key, value in attributes.items():
            if value is not None:
                given[key[:-2]] = numpy_helper.from_array(value) if key.endswith("_t") else value
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [each.name for each in inputs], [output], domain=domain, **given))
        return Value(output)

    def run(self, x: Any, result: Value) -> Any:
        kind = TYPES[x.dtype][1]
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", kind, x.shape)],
                                  [helper.make_tensor_value_info(result.name, kind, x.shape)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]

"""A convolutional network of an ONNX file as plain torch calls, for the times of torch in float."""
from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F


class Unknown(Exception):
    """The network has an operator that is not here."""


def _pads(attributes: dict[str, Any]) -> list[int]:
    pads = list(attributes.get("pads", [0] * 4))
    if pads[:2] != pads[2:] or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise Unknown("pads")
    return pads[:2]


def _conv(attributes: dict[str, Any], x: Any, weight: Any, bias: Any = None) -> Any:
    return F.conv2d(x, weight, bias, attributes.get("strides", [1, 1]), _pads(attributes),
                    attributes.get("dilations", [1, 1]), attributes.get("group", 1))


def _max_pool(attributes: dict[str, Any], x: Any) -> Any:
    return F.max_pool2d(x, attributes["kernel_shape"], attributes.get("strides", [1, 1]), _pads(attributes),
                        ceil_mode=bool(attributes.get("ceil_mode", 0)))


def _gemm(attributes: dict[str, Any], x: Any, weight: Any, bias: Any = None) -> Any:
    return F.linear(x, weight if attributes.get("transB", 0) else weight.T, bias)


OPERATORS: dict[str, Any] = {
    "Conv": _conv, "MaxPool": _max_pool, "Gemm": _gemm, "Relu": lambda _, x: F.relu(x),
    "Clip": lambda _, x, low, high: torch.clamp(x, float(low), float(high)), "Add": lambda _, a, b: a + b,
    "Flatten": lambda _, x: x.flatten(1), "GlobalAveragePool": lambda _, x: F.adaptive_avg_pool2d(x, 1),
}


class Network:
    """Called with the input, gives the first output. Unknown if torch's counterpart of an operator is not here."""

    def __init__(self, model: Any, layout: Any) -> None:
        missing = {node.op_type for node in model.graph.node} - OPERATORS.keys()
        if missing:
            raise Unknown(", ".join(sorted(missing)))
        self.constants = {each.name: self._laid(numpy_helper.to_array(each), layout)
                          for each in model.graph.initializer}
        self.input, self.output = model.graph.input[0].name, model.graph.output[0].name
        self.steps = [(OPERATORS[node.op_type],
                       {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
                       list(node.input), node.output[0]) for node in model.graph.node]

    def _laid(self, array: Any, layout: Any) -> Any:
        tensor = torch.from_numpy(array.copy())
        return tensor.to(memory_format=layout) if tensor.dim() == 4 else tensor

    def __call__(self, x: Any) -> Any:
        values = {**self.constants, self.input: x}
        for function, attributes, inputs, output in self.steps:
            values[output] = function(attributes, *(values[name] for name in inputs))
        return values[self.output]

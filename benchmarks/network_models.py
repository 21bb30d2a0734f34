"""The networks of bench_networks.py: seeded ones, and those that packages ship."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
DEPTHS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)


class _Builder:
    """Nodes one after the other, with weights that keep the size of what goes through them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def weight(self, *shape: int) -> Array:
        return self.rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape).astype(np.float32)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> str:
        bias = self.rng.normal(0, 0.05, outputs).astype(np.float32)
        return self.add("Conv", x, self.constant(self.weight(outputs, inputs, kernel, kernel)), self.constant(bias),
                        kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        bias = self.rng.normal(0, 0.05, outputs).astype(np.float32)
        return self.add("Gemm", x, self.constant(self.weight(outputs, inputs)), self.constant(bias), transB=1)

    def model(self, output: str, shape: tuple[int, ...], classes: int) -> Any:
        graph = helper.make_graph(
            self.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", classes])], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(made)
        return made


def resnet50(seed: int = 0, width: int = 64) -> Any:
    """ResNet-50, BatchNorm folded; `width` other than 64 scales its channels."""
    b, scale = _Builder(seed), width / 64
    x = b.add("Relu", b.conv("x", 3, width, 7, 2, 3))
    x = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    inputs = width
    for number, (depth, size) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        inner = int(size * scale)
        for block in range(depth):
            stride = 2 if block == 0 and number > 0 else 1
            y = b.add("Relu", b.conv(x, inputs, inner, 1))
            y = b.add("Relu", b.conv(y, inner, inner, 3, stride, 1))
            y = b.conv(y, inner, 4 * inner, 1)
            rest = b.conv(x, inputs, 4 * inner, 1, stride) if block == 0 else x
            x = b.add("Relu", b.add("Add", y, rest))
            inputs = 4 * inner
    x = b.add("Flatten", b.add("GlobalAveragePool", x))
    return b.model(b.linear(x, inputs, 1000), (3, 224, 224), 1000)


def lenet(seed: int = 0) -> Any:
    """The LeNet of the original's README: 1-10 k5, 10-20 k5, 320-50, 50-10."""
    b = _Builder(seed)
    x = b.add("Relu", b.add("MaxPool", b.conv("x", 1, 10, 5), kernel_shape=[2, 2], strides=[2, 2]))
    x = b.add("Relu", b.add("MaxPool", b.conv(x, 10, 20, 5), kernel_shape=[2, 2], strides=[2, 2]))
    x = b.add("Relu", b.linear(b.add("Flatten", x), 320, 50))
    return b.model(b.linear(x, 50, 10), (1, 28, 28), 10)

"""Random graphs of all kinds of branches, shapes and readers against onnxruntime."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from pytorch_quantization_c import graph

from ...graph.models import model_of
from .peer import run

CLOSE = 1e-5  # of the largest number of a value


class Maker:
    """Grows a graph on images (N, C, H, W), one random node after the other."""

    def __init__(self, data: Any) -> None:
        self.draw = data.draw
        self.rng = np.random.default_rng(self.draw(st.integers(0, 2 ** 32 - 1)))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}
        batch, channels = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 9))
        sizes = self.draw(st.tuples(st.integers(3, 17), st.integers(3, 17)))
        self.shapes: dict[str, tuple[int, ...]] = {"x": (batch, channels, *sizes)}

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def value(self) -> str:
        """One of the values that are there, the latest ones more often."""
        names = list(self.shapes)
        return names[-1 - min(self.draw(st.integers(0, 5)), len(names) - 1)]

    def constant(self, *shape: int, scale: float = 1.0) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.normal(size=shape) * scale
        return name

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(make_node(op, inputs, [name], f"n{len(self.nodes)}", **attributes))
        self.shapes[name] = shape
        return name

    def conv(self, x: str) -> None:
        n, c, h, w = self.shapes[x]
        group = self.pick(1, c)
        out = c * self.draw(st.integers(1, 2)) if group > 1 else self.draw(st.integers(1, 10))
        k, stride, dilation = self.pick(1, 3), self.pick(1, 2), self.pick(1, 2)
        pads = [self.draw(st.integers(0, 2)) for _ in range(4)]
        reach = (k - 1) * dilation + 1
        size = [(n + pads[i] + pads[i + 2] - reach) // stride + 1 for i, n in enumerate((h, w))]
        if min(size) < 1:
            return
        inputs = [x, self.constant(out, c // group, k, k, scale=1 / np.sqrt(c // group * k * k))]
        inputs += [self.constant(out)] if self.draw(st.booleans()) else []
        self.add("Conv", inputs, (n, out, *size), strides=[stride] * 2, pads=pads, dilations=[dilation] * 2,
                 group=group)

    def transposed(self, x: str) -> None:
        n, c, h, w = self.shapes[x]
        out, k, stride = self.draw(st.integers(1, 4)), self.pick(1, 2, 3), self.pick(1, 2)
        if max(h, w) > 20:
            return
        weight = self.constant(c, out, k, k, scale=1 / np.sqrt(c))
        size = [(n - 1) * stride + k for n in (h, w)]
        self.add("ConvTranspose", [x, weight], (n, out, *size), strides=[stride] * 2)

    def pool(self, x: str) -> None:
        n, c, h, w = self.shapes[x]
        k, stride, pad = self.pick(1, 2, 3), self.pick(1, 2), self.pick(0, 1)
        if min(h, w) < k or pad > k // 2:
            return
        more = {} if self.pick("MaxPool", "AveragePool") == "MaxPool" else {"count_include_pad": self.pick(0, 1)}
        size = [(n + 2 * pad - k) // stride + 1 for n in (h, w)]
        self.add("AveragePool" if more else "MaxPool", [x], (n, c, *size), kernel_shape=[k, k], strides=[stride] * 2,
                 pads=[pad] * 4, **more)

    def activation(self, x: str) -> None:
        op = self.pick("Relu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Softplus", "Erf",
                       "Abs", "Neg", "Identity", "Softmax")
        self.add(op, [x], self.shapes[x])

    def binary(self, x: str) -> None:
        shape = self.shapes[x]
        others = [name for name, each in self.shapes.items() if each == shape]
        op = self.pick("Add", "Sub", "Mul", "Max", "Min")
        other = self.pick(*others, self.constant(1, shape[1], 1, 1))
        self.add(op, self.pick([x, other], [other, x]), shape)

    def concat(self, x: str) -> None:
        n, c, h, w = self.shapes[x]
        fits = [name for name, each in self.shapes.items() if (each[0], *each[2:]) == (n, h, w)]
        parts = [x, *(self.pick(*fits) for _ in range(self.pick(1, 2)))]
        channels = sum(self.shapes[name][1] for name in parts)
        if channels <= 40:
            self.add("Concat", parts, (n, channels, h, w), axis=1)

    def move(self, x: str) -> None:
        n, c, h, w = self.shapes[x]
        op = self.pick("Transpose", "Slice", "Pad", "Resize")
        if op == "Transpose":
            self.add("Transpose", [x], (n, c, w, h), perm=[0, 1, 3, 2])
        elif op == "Slice" and c > 1:
            for name, number in (("starts", 1), ("ends", c), ("axes", 1)):
                self.constants.setdefault(f"{name}{number}", np.array([number]))
            self.add("Slice", [x, "starts1", f"ends{c}", "axes1"], (n, c - 1, h, w))
        elif op == "Pad":
            self.constants.setdefault("pads", np.array([0, 0, 1, 0, 0, 0, 0, 2]))
            self.add("Pad", [x, "pads"], (n, c, h + 1, w + 2), mode=self.pick("constant", "edge"))
        elif op == "Resize" and max(h, w) <= 20:
            self.constants.setdefault("twice", np.array([1, 1, 2, 2], np.float32))
            self.add("Resize", [x, "", "twice"], (n, c, 2 * h, 2 * w), mode=self.pick("nearest", "linear"),
                     coordinate_transformation_mode=self.pick("asymmetric", "half_pixel"), nearest_mode="floor")

    def grow(self) -> None:
        step = self.pick(self.conv, self.conv, self.transposed, self.pool, self.activation, self.binary, self.concat,
                         self.move)
        step(self.value())


@settings(max_examples=60)
@given(st.data())
def test_random_graphs(data: Any) -> None:
    """Every value of the graph, not its outputs alone."""
    maker = Maker(data)
    for _ in range(data.draw(st.integers(1, 14))):
        maker.grow()
    assume(maker.nodes)
    outputs = {name: shape for name, shape in maker.shapes.items() if name != "x"}
    model = model_of(maker.nodes, {"x": maker.shapes["x"]}, outputs, maker.constants)
    feeds = {"x": maker.rng.normal(size=maker.shapes["x"]).astype(np.float32)}
    ours, theirs = graph.interpret(graph.load(model), feeds), run(model, feeds)
    for name, got, expected in zip(outputs, ours, theirs, strict=True):
        assert got.shape == expected.shape == outputs[name] and got.dtype == expected.dtype, name
        assert np.abs(got - expected).max() <= CLOSE * max(np.abs(expected).max(), 1), name

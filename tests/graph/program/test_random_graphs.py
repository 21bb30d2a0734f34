"""Graphs that hypothesis builds: chains, branches, residuals, pools, several outputs, values read in several ways."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch_quantization_c import graph

from ..networks import network, normal

MAX_CHANNELS = 20


class _Builder:
    """Nodes over images of one size, whose channels are known."""

    def __init__(self, draw: Any, rng: np.random.Generator, channels: int) -> None:
        self.draw, self.rng = draw, rng
        self.values, self.body, self.constants = [("x", channels)], [], {}

    def add(self, text: str, channels: int) -> None:
        name = f"v{len(self.values)}"
        self.body.append(f"{name} = {text}")
        self.values.append((name, channels))

    def pick(self, channels: int | None = None) -> tuple[str, int]:
        recent = [each for each in self.values[-4:] if channels in (None, each[1])]
        chosen: tuple[str, int] = self.draw(st.sampled_from(recent))
        return chosen

    def convolution(self) -> None:
        name, inputs = self.pick()
        kernel = self.draw(st.sampled_from([1, 3, 3, 5]))
        dilation = self.draw(st.sampled_from([1, 1, 2]))
        kind = self.draw(st.sampled_from(["plain", "plain", "depthwise", "groups"]))
        groups = 1 if kind == "plain" else inputs if kind == "depthwise" or inputs % 2 else 2
        outputs = inputs if kind == "depthwise" else groups * self.draw(st.integers(1, max(1, MAX_CHANNELS // groups)))
        number, pad = len(self.values), kernel // 2 * dilation
        self.constants[f"w{number}"] = normal(self.rng, outputs, inputs // groups, kernel, kernel) / kernel
        bias = ""
        if self.draw(st.booleans()):
            self.constants[f"b{number}"], bias = normal(self.rng, outputs), f", b{number}"
        self.add(f"Conv <pads = [{pad}, {pad}, {pad}, {pad}], dilations = [{dilation}, {dilation}], group = {groups}> "
                 f"({name}, w{number}{bias})", outputs)

    def elementwise(self) -> None:
        name, channels = self.pick()
        kinds = ["Relu", "Relu", "Sigmoid", "Neg", "HardSwish", "Tanh", "LeakyRelu", "HardSigmoid"]
        self.add(f"{self.draw(st.sampled_from(kinds))} ({name})", channels)

    def product(self) -> None:
        """By another value, or by one number for each channel."""
        name, channels = self.pick()
        if self.draw(st.booleans()):
            self.add(f"Mul ({name}, {self.pick(channels)[0]})", channels)
            return
        number = len(self.values)
        self.constants[f"k{number}"] = normal(self.rng, channels, 1, 1)
        self.add(f"{self.draw(st.sampled_from(['Mul', 'Add', 'Sub']))} ({name}, k{number})", channels)

    def sum(self) -> None:
        name, channels = self.pick()
        self.add(f"Add ({name}, {self.pick(channels)[0]})", channels)

    def pool(self) -> None:
        name, channels = self.pick()
        self.add(f"MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({name})", channels)

    def larger(self) -> None:
        """Repeated pixels, and the largest of each block of them again."""
        name, channels = self.pick()
        self.constants["scales"] = np.array([1, 1, 2, 2], np.float32)
        self.add(f'Resize <mode = "nearest"> ({name}, , scales)', channels)
        large, _ = self.values.pop()
        self.values.append((f"{large}a", channels))
        self.body.append(f"{large}a = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({large})")

    def concat(self) -> None:
        (first, one), (second, two) = self.pick(), self.pick()
        self.add(f"Concat <axis = 1> ({first}, {second})", one + two)


@st.composite
def models(draw: Any) -> tuple[ir.Model, int, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 2 ** 16)))
    channels = draw(st.integers(1, 9))
    builder = _Builder(draw, rng, channels)
    builder.convolution()
    for _ in range(draw(st.integers(1, 9))):
        kinds = ["convolution", "convolution", "convolution", "elementwise", "elementwise", "sum", "product", "pool",
                 "larger"]
        wide = builder.values[-1][1] > MAX_CHANNELS
        getattr(builder, draw(st.sampled_from(kinds if wide else [*kinds, "concat"])))()
    builder.convolution()
    names = {builder.values[-1][0]: builder.values[-1][1]}
    if draw(st.booleans()):
        names.update([builder.pick()])
    names.pop("x", None)
    outputs = ", ".join(f"float[N,{count},H,W] {name}" for name, count in names.items())
    return network(" ".join(builder.body), f"float[N,{channels},H,W] x", outputs, **builder.constants), channels, rng


@settings(max_examples=60)
@given(models(), st.sampled_from(["auto", "u8", "float"]), st.sampled_from(["auto", False]),
       st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_programs_give_the_bits_of_the_interpreter(made: Any, residual: str, zero_point: Any, batch: int, height: int,
                                                   width: int) -> None:
    model, channels, rng = made
    int8 = graph.quantize(model, [normal(rng, 2, channels, 8, 8)], residual=residual, zero_point=zero_point,
                          methods=())
    session = graph.compile(int8)
    feeds = {"x": normal(rng, batch, channels, height, width) * 2}
    expected = graph.interpret(int8, feeds)
    found = session._program.run(feeds, session._outputs)
    assert found is not None
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()

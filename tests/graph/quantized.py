"""Graphs with quantisers in them, put there by hand: what `save` is tested with."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import QuantizerSpec, declare, fake_quant

__all__ = ["FORMATS", "Format", "channels", "lopsided", "quantized"]

Spec = QuantizerSpec
Range = tuple[Spec, Any]


def channels(bits: int) -> Callable[[Any, int], Range]:
    """Weights of so many bits with a range for each output channel."""
    def of(weight: Any, axis: int) -> Range:
        return Spec(bits, axis=axis), np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))
    return of


def _blocks(bits: int, size: int) -> Callable[[Any, int], Range]:
    """Blocks along the axis of the inputs."""
    def of(weight: Any, axis: int) -> Range:
        along = 1 - axis if weight.ndim == 2 else 1
        parts = [np.take(weight, range(i, min(i + size, weight.shape[along])), along)
                 for i in range(0, weight.shape[along], size)]
        return Spec(bits, axis=along, block=size), np.stack([np.abs(part).max(axis=along) for part in parts], along)
    return of


def _e4m3(weight: Any, axis: int) -> Range:
    return Spec((4, 3)), np.abs(weight).max()


class Format:
    """How inputs and weights are quantised, and the opset of a file that says so."""

    def __init__(self, name: str, opset: int, inputs: Callable[[Any], Spec], weights: Callable[[Any, int], Range],
                 dynamic: bool = False, clamps: bool = True) -> None:
        self.name, self.opset, self.inputs, self.weights, self.dynamic = name, opset, inputs, weights, dynamic
        self.clamps = clamps  # other runtimes clamp to the same codes

    def __repr__(self) -> str:
        return self.name


def lopsided(x: Any) -> Spec:
    """Unsigned, with a zero point where there are negative numbers."""
    return Spec(8, True, zero_point=0 if x.min() >= 0 else 110)


FORMATS = [
    Format("signed", 17, lambda x: Spec(narrow=False), channels(8)),
    Format("narrow", 17, lambda x: Spec(), channels(8), clamps=False),
    Format("zero points", 17, lopsided, channels(8)),
    Format("7 bits", 17, lambda x: Spec(7, True, zero_point=50), channels(7), clamps=False),
    Format("3 bits", 21, lambda x: Spec(narrow=False), channels(3)),
    Format("4 bits", 21, lambda x: Spec(narrow=False), channels(4)),
    Format("16 bits", 21, lambda x: Spec(16, narrow=False), channels(8)),
    Format("blocks of 4 bits", 21, lambda x: Spec(narrow=False), _blocks(4, 4)),
    Format("blocks of 8 bits", 21, lambda x: Spec(narrow=False), _blocks(8, 5)),
    Format("E4M3", 19, lambda x: Spec((4, 3)), _e4m3),
    Format("dynamic", 17, lambda x: Spec(narrow=False), channels(8), True),
    Format("dynamic, two-sided", 17, lambda x: Spec(8, True, two_sided=True), channels(8), True),
]


def quantized(proto: Any, feeds: dict[str, Any], form: Format) -> ir.Model:
    """The model with a quantiser at both inputs of each Conv, Gemm and MatMul, whose ranges are a bit too small."""
    model = graph.load(proto)
    seen: dict[str, Any] = {}
    graph.Interpreter(model).run(feeds, observe=seen.__setitem__)
    for node in list(model.graph):
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        x, w = node.inputs[0], node.inputs[1]
        assert x is not None and w is not None and w.const_value is not None and x.name is not None
        amax = None if form.dynamic else np.float32(0.93) * np.abs(seen[x.name]).max()
        axis = 0 if node.op_type == "Conv" or "transB" in node.attributes else 1
        spec, w_amax = form.weights(w.const_value.numpy(), axis)
        for number, value, each, rule in ((0, x, amax, form.inputs(seen[x.name])), (1, w, w_amax, spec)):
            made = fake_quant(model.graph, value, each, rule, f"{node.name}.{'xw'[number]}")
            model.graph.insert_before(node, made)
            node.replace_input_with(number, made.outputs[0])
    declare(model)
    return model

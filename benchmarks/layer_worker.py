"""One library, alone in a process, measures the shapes that it is asked for. Started by layer_turns.py.

It reads lines [shape, seconds] and answers each with the seconds of a call, or null if the library has no such layer.
Layers are made when they are asked for first; a library's answer is compared with NumPy's before it is timed.
"""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Call, calls_in_a_block, timed
from layer_onednn import onednn_int8
from layer_openvino import openvino_int8
from layer_peers import ort_float, ort_int8, torch_dynamic, torch_float
from layer_shapes import Shape, shapes


def ours(shape: Shape, batch: int, threads: int) -> Iterator[Call]:
    from pytorch_quantization_c import nn, quant_modules
    from pytorch_quantization_c import threads as ours_threads

    ours_threads.set_num_threads(threads)
    x, weight, bias = shape.data(batch)
    layer: Any = nn.QuantLinear(shape.inputs, shape.outputs) if shape.rows else nn.QuantConv2d(
        shape.inputs, shape.outputs, shape.kernel, shape.stride, shape.padding, groups=shape.groups)
    layer.weight[...], layer.bias[...] = weight, bias
    quant_modules.freeze(layer)
    layer(x)
    assert layer.execution == "int8", layer.execution
    yield lambda: layer(x)


LIBRARIES: dict[str, Callable[[Shape, int, int], Iterator[Call]]] = {
    "ours": ours, "torch fp32": torch_float, "ORT fp32": ort_float, "torch int8": torch_dynamic, "ORT int8": ort_int8,
    "OpenVINO int8": openvino_int8, "oneDNN int8": onednn_int8}
MIN_DB = {"fp32": 80.0, "int8": 20.0}  # dB; with AVX2 alone the sums of pairs saturate in several libraries


def decibels(answer: Any, exact: Any) -> float:
    """How far the error lies below the signal."""
    answer = np.asarray(answer, np.float64)
    assert answer.shape == exact.shape, f"{answer.shape}, not {exact.shape}"
    return float(10 * np.log10((exact ** 2).sum() / ((answer - exact) ** 2).sum().clip(1e-30)))


def checked(library: str, call: Call, exact: Any) -> Call:
    reached = decibels(call(), exact)
    least = MIN_DB["fp32" if library.endswith("fp32") else "int8"]
    assert reached >= least, f"{library} is wrong: {reached:.1f} dB"
    return call


def best(call: Call, times: int, seconds: float) -> float:
    call()  # its own data in the caches, not its neighbour's
    least, spent = float("inf"), 0.0
    while spent < seconds:
        once = timed(call, times)
        least, spent = min(least, once), spent + once * times
    return least


def made(library: str, shape: Shape, batch: int, threads: int) -> list[tuple[Call, int]]:
    """The forms that the library has of a layer, and how many calls to time together."""
    exact = shape.reference(batch)
    calls = [checked(library, call, exact) for call in LIBRARIES[library](shape, batch, threads)]
    return [(call, calls_in_a_block(call)) for call in calls]


def main() -> None:
    library, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    known = {shape.name: shape for shape in shapes(batch)}
    forms: dict[str, list[tuple[Call, int]]] = {}
    for line in sys.stdin:
        name, seconds = json.loads(line)
        if name not in forms:
            forms[name] = made(library, known[name], batch, threads)
        found = min((best(*form, seconds) for form in forms[name]), default=None)
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""One library, alone in a process, on all shapes: prints the seconds of a call as JSON. Started by bench_layers.py.

A library's answer is compared with NumPy's before it is timed.
"""
from __future__ import annotations

import json
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
LEAST = {"fp32": 80.0, "int8": 20.0}  # dB; with AVX2 alone the sums of pairs saturate in several libraries


def decibels(answer: Any, exact: Any) -> float:
    """How far the error lies below the signal."""
    answer = np.asarray(answer, np.float64)
    assert answer.shape == exact.shape, f"{answer.shape}, not {exact.shape}"
    return float(10 * np.log10((exact ** 2).sum() / ((answer - exact) ** 2).sum().clip(1e-30)))


def checked(library: str, call: Call, exact: Any) -> Call:
    reached = decibels(call(), exact)
    least = LEAST["fp32" if library.endswith("fp32") else "int8"]
    assert reached >= least, f"{library} is wrong: {reached:.1f} dB"
    return call


def best(call: Call, seconds: float) -> float:
    times = calls_in_a_block(call)
    least, spent = float("inf"), 0.0
    while spent < seconds:
        once = timed(call, times)
        least, spent = min(least, once), spent + once * times
    return least


def main() -> None:
    library, batch, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    wanted = sys.argv[5:]
    found = {}
    for shape in shapes(batch):
        if not wanted or any(text in shape.name for text in wanted):
            exact = shape.reference(batch)
            calls = [checked(library, call, exact) for call in LIBRARIES[library](shape, batch, threads)]
            if calls:
                found[shape.name] = min(best(call, seconds / len(calls)) for call in calls)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""The public callables of the graph package, each with arguments that it accepts and one that they are good for."""
from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from pytorch_quantization_c import demo, graph
from tests.graph.networks import network

X = np.linspace(-1, 1, 2 * 2 * 5 * 5, dtype=np.float32).reshape(2, 2, 5, 5)
FEEDS = {"x": X}
PROGRAM = Path(demo.__file__).parent / "data" / "lenet.pqc"


class Subject(NamedTuple):
    """`call(**given())`; what `given` makes is made afresh, and belongs to one call."""

    call: Callable[..., Any]
    given: Callable[[], dict[str, Any]]


@cache
def stored(quantized: bool) -> bytes:
    """A small network as a file."""
    rng = np.random.default_rng(7)
    weights = {"w": rng.standard_normal((3, 2, 3, 3)), "v": rng.standard_normal((27, 4)) / 5}
    model = network("c = Conv (x, w)\nr = Relu (c)\nf = Flatten (r)\ny = MatMul (f, v)", "float[N,2,5,5] x",
                    "float[N,4] y", **weights)
    proto = ir.to_proto(graph.quantize(model, [FEEDS]) if quantized else model)
    return bytes(proto.SerializeToString())


def model() -> ir.Model:
    return graph.load(stored(False))


def int8() -> ir.Model:
    return graph.load(stored(True))


def net(x: Any) -> Any:
    return np.maximum(x, 0) * np.float32(2)


def session_call(name: str) -> Callable[..., Any]:
    return lambda **given: getattr(graph.compile(stored(True)), name)(**given)


def operator(function: Any, **given: Any) -> Any:
    return graph.custom_operator(**given)(function)


COMPARED: dict[str, Any] = {"rows": (graph.ComparisonRow("w", "x", "c", "s8", 30.0, 20.0),), "outputs": {"y": 20.0}}
SUBJECTS: dict[str, Subject] = {
    "Comparison.report": Subject(lambda path: graph.Comparison(**COMPARED).report(path), lambda: {"path": "page.html"}),
    "Interpreter": Subject(graph.Interpreter, lambda: {"model": model()}),
    "Interpreter.run": Subject(lambda **given: graph.Interpreter(int8()).run(**given),
                               lambda: {"feeds": dict(FEEDS), "outputs": ["y"], "observe": None, "watch": None}),
    "Session": Subject(graph.Session, lambda: {"model": int8(), "num_threads": 1}),
    "Session.run": Subject(session_call("run"), lambda: {"output_names": ["y"], "input_feed": dict(FEEDS)}),
    "Session.profile": Subject(session_call("profile"), lambda: {"input_feed": dict(FEEDS), "repeats": 1}),
    "Session.save": Subject(session_call("save"), lambda: {"path": "program.pqc"}),
    "auto_quantize": Subject(graph.auto_quantize, lambda: {
        "model": model(), "batches": [FEEDS], "effective_bits": 6.0, "macs": None, "milliseconds": None,
        "formats": (8, 4), "resume": None, "progress": False}),
    "calibrate": Subject(graph.calibrate, lambda: {"model": int8(), "batches": [FEEDS], "method": "max",
                                                   "percentile": 99.9, "zero_point": "auto", "progress": False}),
    "compare": Subject(graph.compare, lambda: {"a": model(), "b": int8(), "batches": [FEEDS], "metric": "sqnr"}),
    "compile": Subject(graph.compile, lambda: {"model": int8(), "num_threads": 1}),
    "custom_operator": Subject(operator, lambda: {"function": net, "op_type": "Fuzzed", "domain": "tests.fuzz"}),
    "decisions": Subject(graph.decisions, lambda: {"model": int8()}),
    "gains": Subject(graph.gains, lambda: {"model": int8()}),
    "interpret": Subject(graph.interpret, lambda: {"model": int8(), "feeds": dict(FEEDS)}),
    "load": Subject(graph.load, lambda: {"model": stored(True)}),
    "load_session": Subject(graph.load_session, lambda: {"path": str(PROGRAM), "num_threads": 1}),
    "quantize": Subject(graph.quantize, lambda: {
        "model": model(), "batches": [FEEDS], "method": "max", "percentile": 99.9, "zero_point": "auto",
        "residual": "auto", "target": "here", "exclude": (), "overrides": None, "methods": (), "max_drop": None,
        "metric": None, "resume": None, "progress": False}),
    "save": Subject(graph.save, lambda: {"model": int8(), "path": "model.onnx", "target": None}),
    "save_calibration_cache": Subject(partial(graph.save_calibration_cache), lambda: {
        "model": int8(), "path": "cache", "target": "tensorrt"}),
    "summary": Subject(graph.summary, lambda: {"model": int8(), "file": io.StringIO()}),
    "trace": Subject(graph.trace, lambda: {"net": net, "x": X.copy(), "batch_axis": 0}),
}
#: Records, which the library makes and nobody else, and what takes no argument but its object.
ELSEWHERE = {"Comparison", "ComparisonRow", "Decisions", "GraphError", "SummaryRow",
             "Session.get_inputs", "Session.get_outputs", "Session.summary", "Session.model", "Comparison.plot",
             "Comparison.samples", "Decisions.tried"}

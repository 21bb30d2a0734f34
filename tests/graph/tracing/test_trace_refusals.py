"""What cannot be traced is refused with its place in the model's code and what would do instead."""
from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c import _C, float_nn, graph, tensor_quant
from pytorch_quantization_c import nn as quant_nn
from pytorch_quantization_c._core import tracing
from pytorch_quantization_c.float_nn import functional as F
from tests.graph.tracing.test_trace import normal

Array = NDArray[Any]
TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)
HERE = r"test_trace_refusals\.py:\d+: cannot trace "


def in_place(x: Array) -> Array:
    x += 1
    return x


def assigned(x: Array) -> Array:
    x[0] = 0
    return x


def copied_into(x: Array) -> Array:
    y = np.zeros(x.shape, x.dtype)
    y[:] = x
    return y * x


def swapped_state(x: Array) -> Array:
    np.copyto(x, 0)
    return x


REFUSED = {
    "`+=`": (in_place, "in-place `add`"), "an assignment": (assigned, "`__setitem__`, a write in place"),
    "out=": (lambda x: np.exp(x, out=x), "in-place `exp`"), "out= of a function": (
        lambda x: np.sum(x, axis=0, out=np.zeros(6, np.float32)), "out="),
    "copyto": (swapped_state, "numpy.copyto"), "sort": (lambda x: x.sort(), "a write in place"),
    "float(x)": (lambda x: x * float(x[0, 0]), "`__float__`, which takes the values out"),
    "tolist": (lambda x: x * x.tolist()[0][0], "`tolist`"), "item": (lambda x: x * x[0, 0].item(), "`item`"),
    "if": (lambda x: x if x.sum() > 0 else -x, "`__bool__`"), "any": (lambda x: x if x.any() else -x, "`any`"),
    "a mask": (lambda x: x[x > 0], "a mask that depends on the input"),
    "nonzero": (lambda x: np.nonzero(x)[0], "numpy.nonzero"), "unique": (np.unique, "numpy.unique"),
    "inverse": (lambda x: np.linalg.inv(x @ x.T), r"numpy\.linalg"), "hypot": (lambda x: np.hypot(x, x), "numpy.hypot"),
    "accumulate": (lambda x: np.multiply.accumulate(x), "numpy.multiply.accumulate"),
    "a training dropout": (lambda x: F.dropout(x, 0.5, True), "draws random numbers"),
    "a training batch norm": (lambda x: F.batch_norm(x, None, None, training=True), "moves its statistics"),
    "inplace=True": (lambda x: F.relu(x, inplace=True), "inplace=True"),
    "a loss": (lambda x: F.mse_loss(x, x * 2), "`mse_loss`"),
    "integers of a quantiser": (lambda x: tensor_quant.tensor_quant(x, 2.0)[0], "`quantize`"),
    "an affine quantiser": (lambda x: tensor_quant.fake_affine_tensor_quant(x, -1.0, 1.0), "`fake_affine`"),
    "asarray": (lambda x: np.asarray(x) * x, r"taken out of the graph by `np\.asarray`.*np\.asanyarray"),
    "random numbers": (lambda x: x + np.random.default_rng().random(6).astype(np.float32), "random numbers"),
    "a copy into another array": (copied_into, "depends on the values"),
    "a table looked into": (lambda x: x + TABLE[np.asarray(x).astype(int) % 6, 0], "depends on the values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_line(name: str) -> None:
    function, what = REFUSED[name]
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    kept = x.copy()
    with pytest.raises(graph.GraphError, match=HERE + ".*" + what) as caught:
        graph.trace(function, x)
    if hasattr(function, "__code__"):
        line = int(str(caught.value).split(":")[1])
        assert function.__code__.co_firstlineno <= line <= function.__code__.co_firstlineno + 4
    assert np.array_equal(x, kept) and tracing.tracer is None


def test_training_mode_is_refused(rng: np.random.Generator) -> None:
    net = float_nn.Sequential(float_nn.Linear(6, 5)).eval()
    net[0].train()
    with pytest.raises(graph.GraphError, match=r"training mode \(0 is\).*eval\(\)"):
        graph.trace(net, normal(rng, 1, 6))


def test_a_quantiser_that_collects_is_refused(rng: np.random.Generator) -> None:
    net = float_nn.Sequential(quant_nn.QuantLinear(6, 5)).eval()
    net[0].input_quantizer.enable_calib()
    with pytest.raises(graph.GraphError, match="'0._input_quantizer', which collects"):
        graph.trace(net, normal(rng, 1, 6))


def test_an_output_that_is_no_traced_array_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(graph.GraphError, match="'output', a ndarray that is none"):
        graph.trace(lambda x: np.zeros(x.shape), normal(rng, 1, 6))


def test_nodes_that_change_with_the_batch_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(graph.GraphError, match=r"test_trace_refusals\.py:\d+.*nodes change with the batch, axis 0"):
        graph.trace(lambda x: np.exp(x) if len(x) > 2 else np.tanh(x), normal(rng, 1, 6))
    with pytest.raises(graph.GraphError, match="does not take a batch of 2 on axis 0.*`batch_axis`"):
        graph.trace(float_nn.Conv2d(3, 4, 3).eval(), normal(rng, 3, 8, 8))
    with pytest.raises(graph.GraphError, match=r"a constant changes with the batch.*np\.zeros"):
        graph.trace(lambda x: x * np.linspace(0, 1, len(x), dtype=np.float32)[:, None], normal(rng, 1, 6))


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.array(["a"]), np.zeros((0, 3), np.float32), None])
def test_inputs_that_are_no_arrays_are_refused(bad: Any) -> None:
    with pytest.raises(graph.GraphError, match="Expected `x` to be an array of numbers"):
        graph.trace(lambda x: x, bad)


def test_an_error_of_the_model_passes_and_everything_is_put_back(rng: np.random.Generator) -> None:
    def failing(x: Array) -> Array:
        raise ZeroDivisionError("its own")

    functions = dict(vars(_C))
    with pytest.raises(ZeroDivisionError, match="its own"):
        graph.trace(failing, normal(rng, 1, 6), batch_axis=None)
    assert tracing.tracer is None and dict(vars(_C)) == functions


def test_other_threads_compute_as_ever(rng: np.random.Generator) -> None:
    layer, x = quant_nn.QuantLinear(6, 5).eval(), normal(rng, 3, 6)
    layer.input_quantizer.amax = np.float32(3)
    wanted, found, stop = layer(x), [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            found.append(np.array_equal(layer(x), wanted) and type(F.relu(x)) is np.ndarray)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            graph.trace(float_nn.Sequential(layer).eval(), x)
    finally:
        stop.set()
        thread.join()
    assert found and all(found)


def test_a_trace_within_a_trace_is_refused(rng: np.random.Generator) -> None:
    inner = normal(rng, 1, 6)
    with pytest.raises(RuntimeError, match="no trace within a trace"):
        graph.trace(lambda x: [graph.trace(np.exp, inner), x][1], inner, batch_axis=None)
    assert tracing.tracer is None

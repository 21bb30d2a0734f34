"""The nodes that `symbolic` builds, run by onnxruntime and held against the formula."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import tensor_quant as tq

from .. import oracle
from .symbolic_graph import Graph, Value


@pytest.mark.parametrize("cls", [tq.FakeTensorQuantFunction, tq.TensorQuantFunction])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (3, 1, 1), (1, 4, 1), (4, 1), (5,)])
@pytest.mark.parametrize("unsigned", [False, True])
def test_int8_nodes(cls: Any, dtype: type, shape: tuple[int, ...], unsigned: bool, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5)).astype(dtype)
    x = np.abs(x) if unsigned else x
    amax = rng.uniform(0.5, 2, shape).astype(np.float32)
    graph = Graph()
    got = graph.run(x, cls.symbolic(graph, Value("x", x), amax, 8, unsigned, unsigned))
    wanted = oracle.integer(x, amax, 8, unsigned, unsigned)[1]
    assert got.dtype == dtype
    step = np.broadcast_to(amax, x.shape) / (255 if unsigned else 127)
    # The runtime divides by amax / bound where the formula multiplies by bound / amax: near ties they may part.
    different = np.abs(got.astype(np.float64) - wanted)
    assert (different <= 1.01 * step).all() and (different <= 1e-3 * step).mean() > 0.95


def test_axis_without_a_known_rank_counts_from_the_end() -> None:
    graph = Graph()
    tq.FakeTensorQuantFunction.symbolic(graph, Value("x"), np.ones((4, 1), np.float32), 8, False, False)
    axes = [attribute.i for node in graph.nodes for attribute in node.attribute if attribute.name == "axis"]
    assert axes == [-2, -2]


def test_values_that_know_nothing_count_as_float32() -> None:
    graph, bare = Graph(), SimpleNamespace(name="x")
    tq.FakeTensorQuantFunction.symbolic(graph, bare, np.ones((4, 1), np.float32), 8, True, False)
    assert [node.op_type for node in graph.nodes] == ["Constant", "Cast", "Constant", "QuantizeLinear",
                                                      "DequantizeLinear"]


def test_an_amax_of_zero_lets_nothing_through() -> None:
    """D27: the scale is the smallest normal number, so what is left of 3 is 127 times that."""
    x = np.float32([[0.4, 3], [0.4, 3]])
    graph = Graph()
    amax = np.float32([[0], [127]])
    result = tq.FakeTensorQuantFunction.symbolic(graph, Value("x", x), amax, 8, False, False)
    np.testing.assert_allclose(graph.run(x, result), [[0, 0], [0, 3]], rtol=0, atol=1e-35)


@pytest.mark.parametrize(("amax", "scale"), [(None, 1.0), (448.0, 1.0), (np.float32([[224]]), 0.5),
                                                (0.0, np.finfo(np.float32).tiny)])
def test_fp8_nodes(amax: Any, scale: float) -> None:
    graph = Graph()
    tq.ScaledE4M3Function.symbolic(graph, Value("x", np.ones(3, np.float16)), amax)
    assert [(node.domain, node.op_type) for node in graph.nodes] == [
        ("", "Cast"), ("", "Constant"), ("trt", "TRT_FP8QuantizeLinear"), ("", "Constant"),
        ("trt", "TRT_FP8DequantizeLinear"), ("", "Cast")]
    constants = [node.attribute[0].t for node in graph.nodes if node.op_type == "Constant"]
    assert [np.frombuffer(each.raw_data, np.float32).item() for each in constants] == [scale] * 2


@pytest.mark.parametrize(("arguments", "message"), [
    ((np.float32(1), 4, False, False), "`num_bits` 8, got 4"), ((np.float32(1), 8, False, True), "narrow signed range"),
    ((np.ones((2, 3), np.float32), 8, False, False), r"multi-axis quantization.*\(2, 3\)")])
def test_what_onnx_cannot_say(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tq.FakeTensorQuantFunction.symbolic(Graph(), Value("x"), *arguments)
    with pytest.raises(ValueError, match=r"one element, got shape \(2,\)"):
        tq.ScaledE4M3Function.symbolic(Graph(), Value("x"), [1.0, 2.0])

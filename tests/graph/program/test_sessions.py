"""Sessions of programs: calls at once, forks, pickles, inputs that a program leaves to the interpreter."""
from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph, integer
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.nodes import quantizers, set_amax

from ..networks import network, normal
from .zoo import ZOO


@pytest.fixture
def resnet(rng: np.random.Generator) -> tuple[ir.Model, Any]:
    model, shape = ZOO["resnet"](rng)
    int8 = graph.quantize(model, [normal(rng, 2, *shape)], methods=())
    return int8, lambda batch: {"x": normal(rng, batch, *shape)}


def equal(found: Any, expected: Any) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_one_session_from_eight_threads(resnet: Any) -> None:
    model, feeds = resnet
    session, calls = graph.compile(model), [feeds(1 + number % 3) for number in range(8)]
    expected = [graph.interpret(model, each) for each in calls]
    wrong: list[int] = []

    def run(number: int) -> None:
        for _ in range(5):
            if not equal(session.run(None, calls[number]), expected[number]):
                wrong.append(number)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


def test_a_saved_session_from_eight_threads(resnet: Any, tmp_path: Path) -> None:
    model, feeds = resnet
    graph.compile(model).save(tmp_path / "x.pqc")
    session, calls = graph.load_session(tmp_path / "x.pqc", num_threads=2), [feeds(1 + n % 3) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: session.run(None, x), calls * 4))
    assert all(equal(one, graph.interpret(model, x)) for one, x in zip(found, calls * 4, strict=True))


def test_two_sessions_do_not_disturb_each_other(resnet: Any) -> None:
    model, feeds = resnet
    first, second, x, z = graph.compile(model), graph.compile(model), feeds(1), feeds(2)
    before = first.run(None, x)
    assert equal(second.run(None, z), graph.interpret(model, z))
    assert equal(before, graph.interpret(model, x)) and equal(first.run(None, x), before)


def test_after_a_fork(resnet: Any) -> None:
    model, feeds = resnet
    session, x = graph.compile(model), feeds(2)
    expected = session.run(None, x)
    child = os.fork()
    if child == 0:
        os._exit(0 if equal(session.run(None, x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert equal(session.run(None, x), expected)


def test_in_a_process_that_is_spawned(resnet: Any) -> None:
    model, feeds = resnet
    session, x = graph.compile(model, num_threads=2), feeds(1)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert equal(pool.submit(session.run, None, x).result(), session.run(None, x))


def test_a_pickled_session(resnet: Any) -> None:
    model, feeds = resnet
    session, x = graph.compile(model), feeds(1)
    assert equal(pickle.loads(pickle.dumps(session)).run(None, x), session.run(None, x))


def test_results_are_the_callers_own(resnet: Any) -> None:
    model, feeds = resnet
    session = graph.compile(model)
    first = session.run(None, feeds(2))
    kept = [each.copy() for each in first]
    session.run(None, feeds(2))
    assert equal(first, kept)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_without_a_code(resnet: Any, bad: float) -> None:
    """NaN leads to the interpreter; infinity is clamped."""
    model, feeds = resnet
    x = feeds(1)
    x["x"][0, 1, 5, 6] = bad
    assert equal(graph.compile(model).run(None, x), graph.interpret(model, x))


def test_negative_numbers_that_a_quantiser_refuses(rng: np.random.Generator) -> None:
    model = network("r = Relu (x)  y = Conv (r, w)", "float[N,4,H,W] x", "float[N,5,H,W] y", w=normal(rng, 5, 4, 1, 1))
    int8 = graph.quantize(model, [np.abs(normal(rng, 1, 4, 6, 6))], zero_point=False)
    quantiser = next(each for each in quantizers(int8) if not each.is_weight)
    assert not quantiser.spec.unsigned or quantiser.spec.zero_point is None
    feeds = {"x": normal(rng, 1, 4, 6, 6)}
    assert equal(graph.compile(int8).run(None, feeds), graph.interpret(int8, feeds))


def test_within_float_only(resnet: Any) -> None:
    model, feeds = resnet
    session, x = graph.compile(model), feeds(1)
    with integer.float_only():
        assert equal(session.run(None, x), graph.interpret(model, x))


def test_an_empty_batch(rng: np.random.Generator) -> None:
    model, shape = ZOO["mobilenet"](rng)
    int8 = graph.quantize(model, [normal(rng, 2, *shape)], methods=())
    x = {"x": normal(rng, 0, *shape)}
    found, = graph.compile(int8).run(None, x)
    assert found.shape[:2] == (0, 11) and equal([found], graph.interpret(int8, x))


def test_sums_that_broadcast_are_left_to_the_interpreter(rng: np.random.Generator) -> None:
    """Nothing says that the second input has one pixel; without shapes the sum is taken along, and then refused."""
    model = network("c = Conv (x, w)  y = Add (c, z)", "float[N,4,H,W] x, float[N,5,P,Q] z", "float[N,5,H,W] y",
                    w=normal(rng, 5, 4, 1, 1))
    int8 = graph.quantize(model, [{"x": normal(rng, 1, 4, 6, 6), "z": normal(rng, 1, 5, 1, 1)}], residual="float")
    feeds = {"x": normal(rng, 2, 4, 6, 7), "z": normal(rng, 2, 5, 1, 1)}
    session = graph.compile(int8)
    assert equal(session.run(None, feeds), graph.interpret(int8, feeds))
    with pytest.raises(GraphError, match="several shapes"):
        session.profile(feeds)


@pytest.mark.parametrize("amax", [0.0, 2.0 ** -24, 1e-30, 1e30])
def test_ranges_at_their_ends(resnet: Any, amax: float) -> None:
    model, feeds = resnet
    for each in tuple(quantizers(model)):
        if not each.is_weight and each.spec.bits == 8:
            set_amax(each.node, amax)
    x = feeds(1)
    assert equal(graph.compile(model).run(None, x), graph.interpret(model, x))


def test_a_profile(resnet: Any) -> None:
    model, feeds = resnet
    session = graph.compile(model)
    profile = session.profile(feeds(1), repeats=2)
    assert [row.kernel for row in profile] == [row.kernel for row in session.summary()]
    assert profile.total == pytest.approx(sum(row.microseconds for row in profile)) and profile.total > 0
    assert str(profile).splitlines()[-1].startswith("total")
    assert sum(row.weights for row in profile) == sum(
        np.prod(each.input.shape.numpy()) for each in quantizers(model) if each.is_weight)

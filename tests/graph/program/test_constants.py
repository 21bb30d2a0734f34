"""What depends on constants alone, computed once: against NumPy, and what must not be computed then."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.program import constants

from ..networks import network, normal
from .test_gather import on_every_machine, python_steps


def _held(session: Any) -> int:
    """Bytes of the constants of a program."""
    return sum(array.nbytes for array in session._program.lowered.constants.values())


def test_what_depends_on_constants_alone(rng: np.random.Generator, tmp_path: Path) -> None:
    """As BERT's kinds of tokens are written out: computed once, and saved."""
    kinds, table = np.zeros((1, 16), np.int64), normal(rng, 2, 6)
    model = network("""g = GatherElements <axis = 1> (kinds, places)  e = Expand (g, shape)  r = Gather (table, e)
                       y = Add (x, r)""", "float[2,5,6] x", "float[2,5,6] y", kinds=kinds, table=table,
                    places=np.arange(5)[None], shape=np.array([2, 5]))
    session, x = graph.compile(model), normal(rng, 2, 5, 6)
    session.save(tmp_path / "k.pqc")
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), x + table[0])
    np.testing.assert_array_equal(graph.load_session(tmp_path / "k.pqc").run(None, {"x": x})[0], x + table[0])


def test_masks_that_are_scattered(rng: np.random.Generator, tmp_path: Path) -> None:
    """As torch's exporter writes what Swin assigns to the parts of a mask."""
    x, parts = normal(rng, 2, 6, 5), [normal(rng, 2, 5), normal(rng, 3)]
    model = network("""m = ScatterND (zeros, rows, first)  n = ScatterND <reduction = "add"> (m, places, second)
                       y = Add (x, n)""", "float[2,6,5] x", "float[2,6,5] y", zeros=np.zeros((6, 5), np.float32),
                    rows=np.array([[1], [-1]]), first=parts[0], places=np.array([[1, 2], [1, 2], [3, 4]]),
                    second=parts[1])
    mask = np.zeros((6, 5), np.float32)
    mask[[1, 5]] = parts[0]
    np.add.at(mask, ([1, 1, 3], [2, 2, 4]), parts[1])
    graph.compile(model).save(tmp_path / "m.pqc")
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), x + mask)
    np.testing.assert_array_equal(graph.load_session(tmp_path / "m.pqc").run(None, {"x": x})[0], x + mask)


@pytest.mark.parametrize(("indices", "updates"), [
    ([[6]], (1, 5)), ([[-7]], (1, 5)), ([[0]], (1, 4)), ([[0, 0, 0]], (1,)), ([0], (6, 5))], ids=str)
def test_scattered_beyond_an_array(rng: np.random.Generator, indices: Any, updates: tuple[int, ...]) -> None:
    model = network("y = ScatterND (x, i, u)", "float[6,5] x, int64[A,B] i, float[C,D] u" if len(updates) == 2 else
                    "float[6,5] x, int64[A,B] i, float[C] u", "float[6,5] y")
    feeds = {"x": normal(rng, 6, 5), "i": np.array(indices), "u": normal(rng, *updates)}
    with pytest.raises(ValueError):
        graph.interpret(model, feeds)


def test_constants_that_are_large_stay_expressions(rng: np.random.Generator) -> None:
    model = network("e = Expand (z, shape)  y = Add (x, e)", "float[1] x", "float[P,Q] y", z=np.zeros((1, 1)),
                    shape=np.array([2 ** 11, 2 ** 11]))
    session = graph.compile(model)
    assert _held(session) < 100
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(1, np.float32)})[0], np.ones((2 ** 11, 2 ** 11)))


def test_a_chain_longer_than_the_stack_of_python(rng: np.random.Generator) -> None:
    length, start, x = 3000, normal(rng, 3), normal(rng, 2, 3)
    values = ["c", *(f"c{number}" for number in range(1, length)), "end"]
    body = "  ".join(f"{b} = Sin ({a})" for a, b in zip(values, values[1:], strict=False))
    session = graph.compile(network(f"{body}  y = Add (x, end)", "float[N,3] x", "float[N,3] y", c=start))
    assert python_steps(session) == []
    wanted = start.astype(float)
    for _ in range(length):
        wanted = np.sin(wanted)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x + wanted, rtol=1e-4, atol=1e-5)


def test_a_step_that_fails_is_named_when_it_runs(rng: np.random.Generator) -> None:
    model = network("g = Gather (c, i)  y = Add (x, g)", "float[N,3] x", "float[N,3] y", c=normal(rng, 3),
                    i=np.array([0, 1, 7]))
    session = graph.compile(model)
    with pytest.raises(GraphError, match=r"'gather0' \(Gather\).*within \[-3, 3\), got 0 to 7"):
        session.run(None, {"x": normal(rng, 2, 3)})


@pytest.mark.parametrize("is_known", [True, False])
def test_a_large_value_is_not_computed(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch,
                                       is_known: bool) -> None:
    """By its shape, where that is known, it is not computed at all, else it is not kept."""
    monkeypatch.setattr(constants, "MAX_BYTES", 40)
    model = network("e = Expand (c, s)  r = ReduceSum <keepdims = 0> (e)  y = Add (x, r)", "float[N] x", "float[N] y",
                    c=np.float32([1.5]), s=np.array([11]))
    expanded = next(node.outputs[0] for node in model.graph if node.op_type == "Expand")
    expanded.shape = ir.Shape([11]) if is_known else None
    session = graph.compile(model)
    assert _held(session) <= 12
    x = normal(rng, 2)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x + 16.5, rtol=1e-6)


def test_all_values_together_are_limited(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MAX_TOTAL", 1000)
    parts = range(20)
    body = "  ".join(f"s{number} = Sin (c{number})" for number in parts)
    given = {f"c{number}": normal(rng, 25) for number in parts}
    model = network(f"{body}  y = Sum (x, {', '.join(f's{number}' for number in parts)})", "float[N,25] x",
                    "float[N,25] y", **given)
    session, x = graph.compile(model), normal(rng, 2, 25)
    assert sum(name.startswith("sin") for name in python_steps(session)) == 10  # of 100 bytes each
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x + sum(np.sin(each) for each in given.values()),
                               rtol=1e-5, atol=1e-5)

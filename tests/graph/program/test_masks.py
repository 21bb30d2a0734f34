"""Masks in programs (comparisons, logic, Where, integers as truth values): against NumPy, the interpreter's bits."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program.operations import Python

from ..networks import network, normal
from .same_bits import assert_same_bits

I64 = np.int64
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45], np.float32)


def in_c(session: Any) -> bool:
    return all(row.kernel != "Python" for row in session.summary())


def special(rng: np.random.Generator, *shape: int) -> Any:
    return rng.choice(SPECIAL, shape)


@pytest.mark.parametrize("op", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
def test_comparisons_choose(rng: np.random.Generator, op: str) -> None:
    """All bits of what is chosen, NaN and -0 too."""
    model = network(f"c = {op} (a, b)  y = Where (c, a, x)", "float[N,8] a, float[N,8] b, float[N,8] x",
                    "float[N,8] y")
    session = graph.compile(model)
    assert in_c(session)
    functions = {"Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater,
                 "GreaterOrEqual": np.greater_equal, "Equal": np.equal}
    for count in (1, 40):
        feeds = {name: special(rng, count, 8) for name in "abx"}
        found, = assert_same_bits(session, model, feeds)
        wanted = np.where(functions[op](feeds["a"], feeds["b"]), feeds["a"], feeds["x"])
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("op", ["Less", "Equal"])
def test_constants_of_float64_are_not_rounded(rng: np.random.Generator, op: str) -> None:
    import onnx
    import onnx_ir as ir

    model = ir.to_proto(network(f"m = {op} (p, q)  y = Where (m, x, zero)", "float[N,3] x", "float[N,3] y", zero=0.0))
    for name, values in (("p", [1.0, 1.0, 2.0]), ("q", [1 + 1e-12, 1.0, 2 - 1e-12])):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values), name))
    x = normal(rng, 2, 3)
    found, = graph.compile(model).run(None, {"x": x})
    kept = {"Less": [True, False, False], "Equal": [False, True, False]}[op]
    np.testing.assert_array_equal(found, np.where(kept, x, np.float32(0)))


def test_logic(rng: np.random.Generator) -> None:
    model = network("""p = Less (a, half)  q = Greater (b, half)  n = Not (p)  u = And (n, q)  v = Or (u, p)
                       w = Cast <to = 9> (x)  z = And (v, w)  y = Cast <to = 1> (z)  k = Where (z, one, b)""",
                    "float[N,3,5] a, float[5] b, float[N,1,5] x", "float[N,3,5] y, float[N,3,5] k",
                    half=np.float32(0.5), one=np.float32(1))
    session = graph.compile(model)
    assert in_c(session)
    for count in (1, 7):
        feeds = {"a": normal(rng, count, 3, 5), "b": normal(rng, 5), "x": special(rng, count, 1, 5)}
        y, k = assert_same_bits(session, model, feeds)
        p = feeds["a"] < 0.5
        z = ((~p & (feeds["b"] > 0.5)) | p) & feeds["x"].astype(bool)
        np.testing.assert_array_equal(y, z.astype(np.float32))
        np.testing.assert_array_equal(k, np.where(z, np.float32(1), feeds["b"]))


def test_an_attention_mask(rng: np.random.Generator, tmp_path: Path) -> None:
    """Integers become truth values, are moved, picked, joined with a constant, and choose what is added to scores."""
    places = np.stack(np.broadcast_arrays(np.zeros((1, 1, 1), I64), np.arange(6)[None, None]), -1)
    model = network("""t = Cast <to = 9> (mask)  g = GatherND (t, places)  e = Unsqueeze (g, one)
                       c = And (e, causal)  m = Where (c, zero, least)  y = Add (scores, m)""",
                    "int64[1,6] mask, float[2,1,6,6] scores", "float[2,1,6,6] y", places=places,
                    one=np.array([1], I64), causal=np.tril(np.ones((1, 1, 6, 6), bool)), zero=np.float32(0),
                    least=np.float32(-3e38))
    session = graph.compile(model)
    assert in_c(session) and len({row.name for row in session.summary()}) > 3
    session.save(tmp_path / "m.pqc")
    saved = graph.load_session(tmp_path / "m.pqc")
    for mask in ([1, 1, 1, 1, 0, 0], [0, 2, -1, 2 ** 62, 0, 1]):
        feeds = {"mask": np.array([mask], I64), "scores": normal(rng, 2, 1, 6, 6)}
        found, = assert_same_bits(session, model, feeds)
        allowed = np.tril(np.ones((6, 6), bool)) & (np.array(mask) != 0)
        np.testing.assert_array_equal(found, feeds["scores"] + np.where(allowed, np.float32(0), np.float32(-3e38)))
        assert saved.run(None, feeds)[0].tobytes() == found.tobytes()


@pytest.mark.parametrize("move", ["Reshape (c, shape)", "Transpose <perm = [1, 0, 2]> (c)", "Unsqueeze (c, axis)",
                                  "Slice (c, axis, ends)", "Concat <axis = 1> (c, c)", "Expand (c, wide)"])
def test_moved_truth_values(rng: np.random.Generator, move: str) -> None:
    rank = 4 if "Unsq" in move else 2 if "Resh" in move else 3
    shape = ",".join("UVWZ"[:rank])
    constants = {"shape": np.array([3, -1], I64), "axis": np.array([1], I64), "ends": np.array([3], I64),
                 "wide": np.array([2, 3, 5], I64)}
    model = network(f"c = Less (a, b)  d = {move}  y = Cast <to = 1> (d)", "float[2,3,5] a, float[2,3,5] b",
                    f"float[{shape}] y", **{name: each for name, each in constants.items() if name in move})
    session = graph.compile(model)
    assert in_c(session)
    assert_same_bits(session, model, {"a": normal(rng, 2, 3, 5), "b": normal(rng, 2, 3, 5)})


def test_picked_rows(rng: np.random.Generator) -> None:
    """Whole arrays of the other axes, and negative indices."""
    places = np.array([[0, -1], [1, 2], [-2, 0]], I64)
    model = network("c = Less (a, b)  d = GatherND (c, places)  y = Cast <to = 1> (d)",
                    "float[2,3,5] a, float[5] b", "float[3,5] y", places=places)
    session = graph.compile(model)
    a, b = normal(rng, 2, 3, 5), normal(rng, 5)
    assert in_c(session)
    found, = assert_same_bits(session, model, {"a": a, "b": b})
    np.testing.assert_array_equal(found, (a < b)[places[:, 0], places[:, 1]])


def test_integers_as_floats(rng: np.random.Generator) -> None:
    model = network("f = Cast <to = 1> (n)  y = Mul (f, x)", "int64[N,4] n, float[4] x", "float[N,4] y")
    session = graph.compile(model)
    assert in_c(session)
    n = np.array([[2 ** 62 + 1, -3, 0, 2 ** 24 + 1], [1, 16777219, -(2 ** 63), 5]], I64)
    found, = assert_same_bits(session, model, {"n": n, "x": np.ones(4, np.float32)})
    assert found.tobytes() == n.astype(np.float32).tobytes()


def test_truth_values_that_go_out_too(rng: np.random.Generator) -> None:
    model = network("c = Less (a, b)  y = Where (c, a, b)", "float[N,4] a, float[4] b", "float[N,4] y, bool[N,4] c")
    session = graph.compile(model)
    feeds = {"a": normal(rng, 3, 4), "b": normal(rng, 4)}
    y, c = assert_same_bits(session, model, feeds)
    assert c.dtype == bool
    np.testing.assert_array_equal(y, np.minimum(feeds["a"], feeds["b"]))


def test_what_has_no_form_in_floats(rng: np.random.Generator) -> None:
    """Truth values from outside, integers that are compared, five axes."""
    model = network("e = Equal (n, m)  f = And (e, t)  y = Where (f, a, b)  g = Less (v, v)  z = Cast <to = 1> (g)",
                    "int64[4] n, int64[4] m, bool[4] t, float[4] a, float[4] b, float[1,1,1,2,2] v",
                    "float[4] y, float[1,1,1,2,2] z")
    session = graph.compile(model)
    assert not in_c(session)
    feeds = {"n": np.array([1, 2, 3, 4]), "m": np.array([1, 0, 3, 0]), "t": np.array([True, True, False, False]),
             "a": normal(rng, 4), "b": normal(rng, 4), "v": normal(rng, 1, 1, 1, 2, 2)}
    for found, wanted in zip(session.run(None, feeds), graph.interpret(model, feeds), strict=True):
        assert found.tobytes() == wanted.tobytes()


def by_shapes_alone(session: Any) -> bool:
    """Whether all that Python computes is shared by calls with inputs of the same shapes."""
    return all(each.fixed for each in session._program.lowered.operations if isinstance(each, Python))


#: A causal mask of any length, and one of what is padding: as exporters write them, by places and by flat numbers.
CAUSAL = """n = Shape <start = 0, end = 1> (mask)  t = Shape <start = 1, end = 2> (mask)  m = Squeeze (t)
            r = Range (nil, m, step)  q = Unsqueeze (r, last)  lower = LessOrEqual (r, q)"""
MASKS = {"places": """b = Squeeze (n)  rows = Range (nil, b, step)  i = Unsqueeze (rows, last)
                      it = Concat <axis = 0> (n, t)  ie = Expand (i, it)  je = Expand (r, it)
                      iu = Unsqueeze (ie, two)  ju = Unsqueeze (je, two)  ij = Concat <axis = 2> (iu, ju)
                      p = GatherND (given, ij)  k = Unsqueeze (p, one)""",
         "numbers": """f = Flatten <axis = 2> (given)  b = Squeeze (n)  rows = Range (nil, b, step)
                       i = Unsqueeze (rows, last)  im = Mul (i, m)  ij = Add (im, r)  g = Gather (f, ij)
                       it = Shape (ij)  p = Reshape (g, it)  k = Unsqueeze (p, one)"""}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_any_length(rng: np.random.Generator, tmp_path: Path, kind: str) -> None:
    model = network(f"""{CAUSAL}  given = Cast <to = 9> (mask)  {MASKS[kind]}  c = And (lower, k)
                        w = Concat <axis = 0> (n, t, t)  e = Expand (c, w)  y = Where (e, scores, least)
                        z = Where (lower, scores, least)""",
                    "int64[N,T] mask, float[N,T,T] scores", "float[A,B,C] y, float[D,E,F] z", nil=np.array(0),
                    step=np.array(1), last=np.array([-1]), one=np.array([1]), two=np.array([2]),
                    least=np.float32(-3e38))
    session = graph.compile(model)
    assert by_shapes_alone(session)
    session.save(tmp_path / "m.pqc")
    saved = graph.load_session(tmp_path / "m.pqc")
    for count, length in ((1, 1), (2, 7), (3, 40), (2, 7)):
        feeds = {"mask": rng.integers(0, 2, (count, length)), "scores": normal(rng, count, length, length)}
        y, z = assert_same_bits(session, model, feeds)
        lower = np.tril(np.ones((length, length), bool))
        np.testing.assert_array_equal(z, np.where(lower, feeds["scores"], np.float32(-3e38)))
        seen = lower & (feeds["mask"] != 0)[:, None]
        np.testing.assert_array_equal(y, np.where(seen, feeds["scores"], np.float32(-3e38)))
        assert [each.tobytes() for each in saved.run(None, feeds)] == [y.tobytes(), z.tobytes()]


@pytest.mark.parametrize("op", ["Equal", "Less", "GreaterOrEqual"])
def test_integers_against_small_constants(rng: np.random.Generator, op: str) -> None:
    """What only moves them comes behind their way to floats, which has no other number at such a constant."""
    model = network(f"""w = Unsqueeze (n, last)  c = {op} (w, k)  d = {op} (k, n)  y = Where (c, x, least)
                        e = Cast <to = 1> (w)  z = Mul (e, x)  f = Cast <to = 1> (d)""",
                    "int64[N,T] n, float[N,T,3] x", "float[N,T,3] y, float[N,T,3] z, float[N,T] f",
                    last=np.array([-1]), k=np.array(2 ** 24 - 1), least=np.float32(-1))
    session = graph.compile(model)
    assert in_c(session)
    n = np.array([[2 ** 24 - 1, 2 ** 24 - 2, 2 ** 24, 2 ** 24 + 1], [-1, 2 ** 62, -(2 ** 63), 0]], I64)
    feeds = {"n": n, "x": normal(rng, 2, 4, 3)}
    y, z, f = assert_same_bits(session, model, feeds)
    compare = {"Equal": np.equal, "Less": np.less, "GreaterOrEqual": np.greater_equal}[op]
    np.testing.assert_array_equal(y, np.where(compare(n, 2 ** 24 - 1)[..., None], feeds["x"], np.float32(-1)))
    np.testing.assert_array_equal(z, n[..., None].astype(np.float32) * feeds["x"])
    np.testing.assert_array_equal(f, compare(2 ** 24 - 1, n))


def test_integers_against_large_constants(rng: np.random.Generator) -> None:
    """2 ** 24 and the number behind it are one float."""
    model = network("c = Equal (n, k)  y = Where (c, x, least)", "int64[N] n, float[N] x", "float[N] y",
                    k=np.array(2 ** 24), least=np.float32(-1))
    feeds = {"n": np.array([2 ** 24, 2 ** 24 + 1]), "x": np.ones(2, np.float32)}
    y, = assert_same_bits(graph.compile(model), model, feeds)
    assert y.tolist() == [1, -1]

"""What depends on the shapes of the inputs alone, as sizes that exporters compute: once for each set of shapes."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.program.operations import array_of
from pytorch_quantization_c.graph.program.strided import Moved

from ..networks import network, normal
from .same_bits import assert_same_bits

I64 = np.int64
#: Rows of [batch, length, 8] as heads and back, as torch's exporters write it; by sizes that are not folded.
HEADS = """s = Shape (x)  g = Gather (s, nought)
           t = Gather (s, one)  b = Abs (g)  b1 = Unsqueeze (b, zero)  t1 = Unsqueeze (t, zero)
           four = Concat <axis = 0> (b1, t1, two, minus)  h = Reshape (x, four)  p = Transpose <perm = [0, 2, 1, 3]> (h)
           r = Relu (p)  q = Transpose <perm = [0, 2, 1, 3]> (r)  three = Concat <axis = 0> (b1, t1, minus)
           y = Reshape (q, three)"""
NUMBERS = {"nought": np.array(0, I64), "zero": np.array([0], I64), "one": np.array(1, I64), "two": np.array([2], I64),
           "minus": np.array([-1], I64)}


def heads() -> ir.Model:
    return network(HEADS, "float[B,T,8] x", "float[B,T,8] y", **NUMBERS)


def python_steps(session: graph.Session) -> list[str]:
    return [row.name.rstrip("0123456789") for row in session.summary() if row.kernel == "Python"]


def test_reshapes_by_computed_sizes(rng: np.random.Generator, tmp_path: Path) -> None:
    model = heads()
    session = graph.compile(model)
    assert sorted(python_steps(session)) == ["abs", "concat", "concat", "gather", "gather", "shape", "unsqueeze",
                                             "unsqueeze"]
    session.save(tmp_path / "heads.pqc")
    loaded = graph.load_session(tmp_path / "heads.pqc")
    for shape in ((2, 5, 8), (1, 3, 8), (2, 5, 8), (4, 1, 8), (1, 3, 8)):
        x = normal(rng, *shape)
        for each in (session, loaded):
            np.testing.assert_array_equal(each.run(None, {"x": x})[0], np.maximum(x, 0))
    assert_same_bits(session, model, {"x": normal(rng, 3, 7, 8)})


def test_sizes_are_computed_once_for_each_shape(rng: np.random.Generator) -> None:
    session = graph.compile(heads())
    for length in (3, 4):
        profile = session.profile({"x": normal(rng, 2, length, 8)})
        assert [row.microseconds for row in profile if row.kernel == "Python"] == [0.0] * 8
        assert sum(row.microseconds or 0.0 for row in profile) > 0


def test_what_is_kept_is_bounded(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_quantization_c.graph.program import run

    session = graph.compile(heads())

    def call(length: int) -> int:
        x = normal(rng, 2, length, 8)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))
        return len(session._program._kept)

    assert [call(length) for length in (1, 2, 3, 2)] == [1, 2, 3, 3]
    each = run._bytes_of(next(iter(session._program._kept.values())))
    monkeypatch.setattr(run, "MAX_KEPT", 2 * each)
    assert [call(length) for length in (4, 5, 1)] == [2, 2, 2]
    monkeypatch.setattr(run, "MAX_KEPT", each - 1)
    assert call(9) == 2
    monkeypatch.setattr(run, "MAX_KEPT", 2 ** 26)
    monkeypatch.setattr(run, "KEPT_PLANS", 3)
    assert [call(length) for length in (11, 12, 13)] == [3, 3, 3]


def test_of_what_is_cut_off_the_rest_is_not_kept() -> None:
    model = network("""s = Shape (x)  b = Mul (s, many)  k = ConstantOfShape <value = int64[1] {3}> (b)
                       y = Slice (k, zero, two)""", "float[N] x", "int64[2] y", many=np.array([1000]),
                    **{name: NUMBERS[name] for name in ("zero", "two")})
    session = graph.compile(model)
    for _ in range(2):
        assert session.run(None, {"x": np.ones(5, np.float32)})[0].tolist() == [3, 3]
    (found, *_), = (each.values() for each in session._program._kept.values())
    assert found.nbytes == 16 and found.base is None


def test_expands_by_computed_sizes(rng: np.random.Generator) -> None:
    model = network("s = Shape (x)  e = Expand (v, s)  y = Add (x, e)", "float[B,T] x, float[T] v", "float[B,T] y")
    session = graph.compile(model)
    assert python_steps(session) == ["shape"]
    for shape in ((2, 3), (5, 3), (2, 3), (1, 7)):
        x, v = normal(rng, *shape), normal(rng, shape[1])
        np.testing.assert_array_equal(session.run(None, {"x": x, "v": v})[0], x + v)


def test_expands_to_nothing_and_less(rng: np.random.Generator) -> None:
    """Sizes of 0, which no plan has, and below, which no array has."""
    model = network("s = Shape (x)  d = Sub (s, two)  e = Expand (v, d)  y = Neg (e)", "float[B,T] x, float[P,Q] v",
                    "float[C,D] y", two=NUMBERS["two"])
    session, v = graph.compile(model), normal(rng, 1, 1)
    for shape in ((2, 5), (4, 2), (4, 5)):
        made, = session.run(None, {"x": normal(rng, *shape), "v": v})
        np.testing.assert_array_equal(made, np.broadcast_to(-v, [size - 2 for size in shape]))
    with pytest.raises(GraphError, match="Expand"):
        session.run(None, {"x": normal(rng, 1, 1), "v": v})


def test_shapes_that_come_in_are_no_such_sizes(rng: np.random.Generator) -> None:
    """Calls with inputs of the same shapes and other numbers."""
    model = network("h = Reshape (x, s)  r = Relu (h)  n = Shape (r)  y = Add (n, n)", "float[N] x, int64[K] s",
                    "float[P,Q] r, int64[K] y")
    session = graph.compile(model)
    x = normal(rng, 12)
    for shape in ([3, 4], [4, 3], [2, -1], [3, 4]):
        r, y = session.run(None, {"x": x, "s": np.array(shape)})
        wanted = np.maximum(x, 0).reshape(shape)
        np.testing.assert_array_equal(r, wanted)
        np.testing.assert_array_equal(y, 2 * np.array(wanted.shape))


@pytest.mark.parametrize("body", ["u = Add (sh, sh)  h = Div (u, two)  r = Reshape (x, h)  y = Relu (r)",
                                  "r = Reshape (x, sh)  y = Relu (r)"])
def test_inputs_with_a_default_are_no_constants(rng: np.random.Generator, body: str) -> None:
    model = network(body, "float[N] x, int64[2] sh", "float[C,D] y", sh=np.array([3, 4]), **(
        {"two": NUMBERS["two"]} if "two" in body else {}))
    session, x = graph.compile(model), normal(rng, 12)
    for shape in (None, [4, 3], [2, 6], None):
        given = {} if shape is None else {"sh": np.array(shape)}
        found, = session.run(None, {"x": x, **given})
        np.testing.assert_array_equal(found, np.maximum(x, 0).reshape(shape or (3, 4)))


def test_sizes_that_depend_on_numbers(rng: np.random.Generator) -> None:
    model = network("p = NonZero (x)  s = Shape (p)  y = Mul (s, s)", "float[N] x", "int64[2] y")
    session = graph.compile(model)
    for count in (1, 4, 2):
        x = np.zeros(6, np.float32)
        x[:count] = 1
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], [1, count ** 2])


def test_results_are_the_callers(rng: np.random.Generator) -> None:
    model = network("s = Shape (x)  y = Add (s, one)  z = Relu (x)", "float[B,T] x", "int64[2] y, float[B,T] z",
                    one=np.array(1, I64))
    session, x = graph.compile(model), normal(rng, 2, 3)
    for _ in range(3):
        y = session.run(["y"], {"x": x})[0]
        np.testing.assert_array_equal(y, [3, 4])
        y[:] = 0


def test_a_file_without_types(rng: np.random.Generator) -> None:
    """As torch's older exporter writes it: inner values have neither a type nor a shape."""
    model = network("""m = MatMul (x, w)  a = Add (m, v)  n = LayerNormalization (a, v)  g = Gelu (n)  f = Softmax (g)
                       y = Mul (f, n)""", "float[B,T,16] x", "float[B,T,16] y", w=normal(rng, 16, 16),
                    v=normal(rng, 16))
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    before = proto.SerializeToString()
    session = graph.compile(proto)
    assert python_steps(session) == []
    assert proto.SerializeToString() == before
    assert_same_bits(session, graph.load(onnx.load_model_from_string(before)), {"x": normal(rng, 2, 3, 16)})


@pytest.mark.parametrize("kind, numbers, given", [("transpose", [0], 1), ("reshape", [0], 0)])
def test_what_no_file_may_say(kind: str, numbers: list[int], given: int) -> None:
    keys = [array_of(number) for number in range(3)]
    with pytest.raises(ValueError, match="a shape that is given"):
        Moved("m", kind, numbers, [keys[0]], keys[2], keys[given]).check()

"""Elements that integers name, repeated ones around an array, numbers for NaN: against NumPy and onnx's reference."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.errors import GraphError

from ..networks import network, normal
from .same_bits import assert_same_bits

I64 = np.int64


def python_steps(session: Any) -> list[str]:
    return [row.name for row in session.summary() if row.kernel == "Python"]


def on_every_machine(model: ir.Model, feeds: dict[str, Any]) -> Any:
    """The output of a program without a step of Python, which no instruction set or number of threads changes."""
    session = graph.compile(model)
    assert python_steps(session) == []
    found, = assert_same_bits(session, model, feeds)
    return found


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (3, 1)])
def test_indices_that_come_in(rng: np.random.Generator, axis: int, shape: tuple[int, ...]) -> None:
    x = normal(rng, 4, 5, 6)
    indices = rng.integers(-x.shape[axis], x.shape[axis], shape)
    wide = ",".join("ABCDE"[:2 + len(shape)])
    model = network(f"r = Relu (x)  g = Gather <axis = {axis}> (r, i)  y = Neg (g)",
                    f"float[P,Q,R] x, int64[{','.join('STU'[:len(shape)])}] i", f"float[{wide}] y")
    found = on_every_machine(model, {"x": x, "i": indices})
    np.testing.assert_array_equal(found, -np.take(np.maximum(x, 0), indices, axis))


def test_elements_backwards(rng: np.random.Generator) -> None:
    """Runs of single elements that fall, up to the first one, in both ways of counting."""
    x = normal(rng, 5, 2, 9)
    indices = np.array([3, 2, 1, 0, 0, 1, 2, 8, 7, -1, -2, -3, -9, 4, 5, 6, 5, 4])
    model = network("g = Gather <axis = 2> (x, i)  y = Neg (g)", "float[P,Q,9] x, int64[T] i", "float[P,Q,T] y")
    np.testing.assert_array_equal(on_every_machine(model, {"x": x, "i": indices}), -np.take(x, indices, 2))


@pytest.mark.parametrize("indices", [np.array(2), np.array([-1, 0, 0, 3]), np.array([[1, 2], [3, -4]])])
def test_constant_indices(rng: np.random.Generator, indices: Any) -> None:
    x, rank = normal(rng, 3, 4, 5), 2 + indices.ndim
    model = network("g = Gather <axis = 1> (x, i)  y = Abs (g)", "float[N,4,5] x",
                    f"float[{','.join('ABCDE'[:rank])}] y", i=indices.astype(I64))
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), np.abs(np.take(x, indices, 1)))


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("axis, lead, size, count", [(0, (), 7, 11), (-1, (3, 4), 5, 20), (2, (2, 5), 6, 1)])
def test_elements_of_rows(rng: np.random.Generator, axis: int, lead: tuple[int, ...], size: int, count: int,
                          constant: bool) -> None:
    """As in attention by relative positions: neighbours in both directions, and indices that count from the end."""
    x, indices = normal(rng, *lead, size), rng.integers(-size, size, (*lead, count))
    for row in indices.reshape(-1, count)[::2]:
        row[-4:] = np.arange(3, -1, -1)[:len(row)]
    axes = ",".join("PQ"[:len(lead)] + "R")
    inputs, kept = (f"float[{axes}] x", {"i": indices}) if constant else (
        f"float[{axes}] x, int64[{axes.replace('R', 'S')}] i", {})
    model = network(f"g = GatherElements <axis = {axis}> (x, i)  y = Neg (g)", inputs,
                    f"float[{axes.replace('R', 'S')}] y", **kept)
    found = on_every_machine(model, {"x": x} if constant else {"x": x, "i": indices})
    np.testing.assert_array_equal(found, -np.take_along_axis(x, indices, -1))


@pytest.mark.parametrize("bad", [3, -4, 2 ** 40])
def test_elements_that_are_not_there(rng: np.random.Generator, tmp_path: Path, bad: int) -> None:
    model = network("g = GatherElements <axis = 1> (x, i)  y = Neg (g)", "float[N,M] x, int64[N,K] i", "float[N,K] y")
    session, feeds = graph.compile(model), {"x": normal(rng, 2, 3), "i": np.array([[0, 1], [2, bad]])}
    assert session._program.run(feeds, ["y"]) is None
    session.save(tmp_path / "g.pqc")
    with pytest.raises(GraphError, match="index out of range"):
        graph.load_session(tmp_path / "g.pqc").run(None, feeds)
    fewer = {"x": feeds["x"], "i": np.array([[2]])}
    np.testing.assert_array_equal(session.run(None, fewer)[0], -feeds["x"][:1, 2:])  # by the interpreter


def test_an_embedding_of_many_rows(rng: np.random.Generator, tmp_path: Path) -> None:
    """Tables of words and of kinds, added up and normalised; saved, it needs no onnx."""
    words, kinds, tokens = normal(rng, 3000, 96), normal(rng, 2, 96), rng.integers(0, 3000, (2, 50))
    weight = normal(rng, 96)
    model = network("a = Gather (words, i)  b = Gather (kinds, k)  s = Add (a, b)  y = LayerNormalization (s, w)",
                    "int64[N,T] i, int64[N,T] k", "float[N,T,96] y", words=words, kinds=kinds, w=weight)
    feeds = {"i": tokens, "k": tokens % 2}
    found = on_every_machine(model, feeds)
    s = (words[tokens] + kinds[tokens % 2]).astype(np.float64)
    centred = s - s.mean(-1, keepdims=True)
    wanted = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)
    graph.compile(model).save(tmp_path / "words.pqc")
    saved = graph.load_session(tmp_path / "words.pqc")
    for length in (1, 7, 50):
        cut = {name: np.ascontiguousarray(each[:, :length]) for name, each in feeds.items()}
        assert saved.run(None, cut)[0].tobytes() == found[:, :length].tobytes()


@pytest.mark.parametrize("bad", [5, -6, 2 ** 40, -2 ** 63])
def test_indices_out_of_range(rng: np.random.Generator, tmp_path: Path, bad: int) -> None:
    model = network("g = Gather (x, i)  y = Neg (g)", "float[5,3] x, int64[T] i", "float[T,3] y")
    session, feeds = graph.compile(model), {"x": normal(rng, 5, 3), "i": np.array([0, bad, 1])}
    assert session._program.run(feeds, ["y"]) is None
    with pytest.raises(GraphError, match="indices within"):
        session.run(None, feeds)
    session.save(tmp_path / "g.pqc")
    with pytest.raises(GraphError, match="index out of range"):
        graph.load_session(tmp_path / "g.pqc").run(None, feeds)


def test_what_is_not_gathered_in_c(rng: np.random.Generator) -> None:
    """Indices of 32 bits, and one number as the only index: the results are right all the same."""
    x = normal(rng, 4, 5)
    for kind, shape, indices in (("int32[T]", "T,5", np.array([3, 0], np.int32)), ("int64", "5", np.array(2))):
        model = network("g = Gather (x, i)  y = Neg (g)", f"float[4,5] x, {kind} i", f"float[{shape}] y")
        np.testing.assert_array_equal(graph.compile(model).run(None, {"x": x, "i": indices})[0], -x[indices])


def test_no_indices(rng: np.random.Generator) -> None:
    model = network("g = Gather (x, i)  y = Neg (g)", "float[4,5] x, int64[T] i", "float[T,5] y")
    assert graph.compile(model).run(None, {"x": normal(rng, 4, 5), "i": np.empty(0, I64)})[0].shape == (0, 5)


@pytest.mark.parametrize(("shape", "indices", "batch"), [
    ((3, 4), [[0, 1], [2, -1]], 0), ((3, 4, 5), [[2], [0]], 0), ((2, 3, 4), [[[1]], [[0]]], 1),
    ((2, 3, 4, 5), [[[[0, 4], [1, 1]]] * 3] * 2, 2)])
def test_gather_nd(rng: np.random.Generator, shape: tuple[int, ...], indices: Any, batch: int) -> None:
    x, places = normal(rng, *shape), np.array(indices, I64)
    model = network(f"y = GatherND <batch_dims = {batch}> (x, i)",
                    f"float[{','.join(map(str, shape))}] x, int64[{','.join(map(str, places.shape))}] i",
                    f"float[{','.join('ABCDE'[:len(shape) - 1 + places.ndim - places.shape[-1] - batch])}] y")
    wanted, = onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x, "i": places})
    np.testing.assert_array_equal(graph.interpret(model, {"x": x, "i": places})[0], wanted)
    with pytest.raises(GraphError, match="indices within"):
        graph.interpret(model, {"x": x, "i": places + 50})


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 3], [0, 2, 0, 0], [1, 4, 2, 9], [0, 0, 1, 0]])
def test_repeated_elements(rng: np.random.Generator, mode: str, pads: list[int]) -> None:
    """Further than the array is long, too."""
    x = normal(rng, 3, 7)
    model = network(f'p = Pad <mode = "{mode}"> (x, pads)  y = Neg (p)', "float[N,7] x", "float[A,B] y",
                    pads=np.array(pads, I64))
    wanted = -np.pad(x, list(zip(pads[:2], pads[2:], strict=True)), mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), wanted)


def test_repeated_elements_of_chosen_axes(rng: np.random.Generator) -> None:
    x = normal(rng, 2, 3, 5)
    model = network('p = Pad <mode = "reflect"> (x, pads, , axes)  y = Neg (p)', "float[2,3,T] x", "float[2,3,U] y",
                    pads=np.array([2, 1], I64), axes=np.array([-1], I64))
    session = graph.compile(model)
    for length in (5, 3, 11):
        x = normal(rng, 2, 3, length)
        wanted = -np.pad(x, [(0, 0), (0, 0), (2, 1)], "reflect")
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], wanted)
    assert python_steps(session) == []


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pads_by_nothing(rng: np.random.Generator, tmp_path: Path, mode: str) -> None:
    """As windows are padded whose sizes divide those of the image: no copy."""
    model = network(f'n = Neg (x)  p = Pad <mode = "{mode}"> (n, pads)  y = Neg (p)', "float[N,T,8] x",
                    "float[N,T,8] y", pads=np.zeros(6, np.int64))
    x = normal(rng, 2, 5, 8)
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), x)
    graph.compile(model).save(tmp_path / "p.pqc")
    np.testing.assert_array_equal(graph.load_session(tmp_path / "p.pqc").run(None, {"x": x})[0], x)
    layers = network(f'c = Conv (x, w)  p = Pad <mode = "{mode}"> (c, pads)  y = Conv (p, w)', "float[N,4,5,5] x",
                     "float[N,4,5,5] y", pads=np.zeros(8, np.int64), w=normal(rng, 4, 4, 1, 1))
    x = normal(rng, 2, 4, 5, 5)
    for each in (layers, graph.quantize(layers, [x], methods=())):
        on_every_machine(each, {"x": x})


@pytest.mark.parametrize("number", [0.0, -1.5, np.inf])
@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 3, 0], [0, 1, 0, 0, 2, 0, 0, 2], [0, 0, -1, 2, 0, 0, 1, -1]])
def test_one_number_around_an_array(rng: np.random.Generator, tmp_path: Path, number: float, pads: list[int]) -> None:
    """Negative pads cut."""
    model = network("p = Pad (x, pads, v)  y = Neg (p)", "float[N,A,B,C] x", "float[M,P,Q,R] y",
                    pads=np.array(pads, I64), v=np.float32(number))
    session = graph.compile(model)
    session.save(tmp_path / "p.pqc")
    saved = graph.load_session(tmp_path / "p.pqc")
    for shape in ((2, 3, 5, 7), (1, 1, 2, 3)):
        x = normal(rng, *shape)
        pairs = list(zip(pads[:4], pads[4:], strict=True))
        kept = x[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, pairs, strict=True))]
        added = [(max(0, a), max(0, b)) for a, b in pairs]
        wanted = -np.pad(kept, added, constant_values=np.float32(number))
        np.testing.assert_array_equal(on_every_machine(model, {"x": x}), wanted)
        for each in (session, saved):
            np.testing.assert_array_equal(each.run(None, {"x": x})[0], wanted)
    assert python_steps(session) == []


def test_one_number_around_images(rng: np.random.Generator) -> None:
    """Of an input, of codes and floats, along one axis and along two; as TensorFlow pads before it convolves."""
    for number in (0, 1.5):
        model = network("""a = Pad (x, all, v)  c = Conv <strides = [2, 2]> (a, w1)  s = Sigmoid (c)
                           r = Pad (s, all, v)  y = Conv <pads = [1, 1, 1, 1]> (r, w2)  z = Neg (r)
                           t = Pad (s, some, , axes)  m = MaxPool <kernel_shape = [3, 3]> (t)""", "float[N,3,H,W] x",
                        "float[N,7,P,Q] y, float[N,6,P,Q] z, float[N,6,S,T] m", w1=normal(rng, 6, 3, 3, 3),
                        w2=normal(rng, 7, 6, 3, 3), all=np.array([0, 0, 1, 2, 0, 0, 3, 0]), v=np.float32(number),
                        some=np.array([0, 2]), axes=np.array([-1]))
        int8 = graph.quantize(model, [normal(rng, 2, 3, 9, 8)], methods=())
        session = graph.compile(int8)
        assert python_steps(session) == [] and sum(row.kernel == "pad" for row in session.summary()) == 4
        for shape in ((1, 3, 9, 8), (3, 3, 5, 12)):
            assert_same_bits(session, int8, {"x": normal(rng, *shape)}, (1, 4))


def test_numbers_for_nan(rng: np.random.Generator) -> None:
    """As attention has them for rows without a key: a Softmax of nothing but -inf."""
    x = normal(rng, 2, 5, 70)
    x[0, 2], x[1, 4, 3] = -np.inf, np.nan
    model = network("s = Softmax (x)  n = IsNaN (s)  w = Where (n, zero, s)  y = Add (w, w)", "float[N,5,70] x",
                    "float[N,5,70] y", zero=np.float32(0.25))
    found = on_every_machine(model, {"x": x})
    assert (found[0, 2] == 0.5).all() and (found[1, 4] == 0.5).all()
    e = np.exp(x[0, :2].astype(np.float64))
    np.testing.assert_allclose(found[0, :2], 2 * e / e.sum(-1, keepdims=True), rtol=2e-6)


@pytest.mark.parametrize("body", ["n = IsNaN (x)  y = Where (n, x, zero)", "n = IsNaN (z)  y = Where (n, zero, x)",
                                  "n = IsNaN (x)  y = Where (n, wide, x)"])
def test_other_choices_stay_as_they_are(rng: np.random.Generator, body: str) -> None:
    x, z, wide, zero = normal(rng, 3, 4), normal(rng, 3, 4), normal(rng, 3, 4), np.float32(7)
    x[0, 1], z[2, 2] = np.nan, np.nan
    model = network(body + "  r = Neg (z)", "float[3,4] x, float[3,4] z", "float[3,4] y, float[3,4] r", zero=zero,
                    wide=wide)
    wanted = {"x, zero": np.where(np.isnan(x), x, zero), "zero, x": np.where(np.isnan(z), zero, x),
              "wide, x": np.where(np.isnan(x), wide, x)}[body.split("(n, ")[1][:-1]]
    np.testing.assert_array_equal(graph.compile(model).run(None, {"x": x, "z": z})[0], wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_places_that_come_in(rng: np.random.Generator, count: int) -> None:
    """Elements, and rows of the other axes; from either end."""
    x = normal(rng, 4, 5, 6)
    places = np.stack([rng.integers(-size, size, (2, 70)) for size in x.shape[:count]], -1)
    model = network("r = Relu (x)  g = GatherND (r, i)  y = Neg (g)", f"float[4,5,6] x, int64[P,Q,{count}] i",
                    f"float[{','.join('ABCDE'[:2 + 3 - count])}] y")
    found = on_every_machine(model, {"x": x, "i": places})
    np.testing.assert_array_equal(found, -np.maximum(x, 0)[tuple(np.moveaxis(places, -1, 0))])


def test_places_that_are_constants(rng: np.random.Generator) -> None:
    x, places = normal(rng, 3, 4, 5), np.array([[0, -1], [2, 1], [-3, 3]])
    model = network("g = GatherND (x, i)  y = Neg (g)", "float[N,4,5] x", "float[3,5] y", i=places)
    np.testing.assert_array_equal(on_every_machine(model, {"x": x}), -x[places[:, 0], places[:, 1]])


@pytest.mark.parametrize("shape", [(4,), (4, 5), (4, 5, 6)])
@pytest.mark.parametrize("given", [False, True])
def test_one_place_of_one_number(rng: np.random.Generator, shape: tuple[int, ...], given: bool) -> None:
    """The result has no axes."""
    x, place = normal(rng, *shape), np.array([-2] * len(shape))
    model = network("g = GatherND (x, i)  y = Neg (g)", f"float[{','.join('NML'[:len(shape)])}] x"
                    + ("" if given else f", int64[{len(shape)}] i"), "float y", **({"i": place} if given else {}))
    found, = graph.compile(model).run(None, {"x": x} if given else {"x": x, "i": place})
    assert found.shape == () and found == -x[tuple(place)]


@pytest.mark.parametrize("bad", [[0, 5], [-5, 0], [4, 0], [0, -6], [2 ** 40, 0], [0, -2 ** 63]])
def test_places_beyond_an_array(rng: np.random.Generator, tmp_path: Path, bad: list[int]) -> None:
    model = network("g = GatherND (x, i)  y = Neg (g)", "float[4,5,6] x, int64[P,2] i", "float[P,6] y")
    session = graph.compile(model)
    session.save(tmp_path / "m.pqc")
    feeds = {"x": normal(rng, 4, 5, 6), "i": np.array([[0, 0], bad])}
    with pytest.raises(GraphError, match="Expected indices within"):
        session.run(None, feeds)
    with pytest.raises(GraphError, match="index out of range"):
        graph.load_session(tmp_path / "m.pqc").run(None, feeds)

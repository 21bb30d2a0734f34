"""Softmax and layer normalisation of rows: close to the truth, the interpreter's bits, the same on every machine."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, graph
from pytorch_quantization_c import float_nn as fnn

from ...everywhere import everywhere
from ..networks import network, normal
from .same_bits import assert_same_bits

SIZES = [(1, 1), (3, 5), (2, 16), (7, 33), (2, 3, 100), (1, 1025)]


def softmax(x: Any) -> Any:
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: Any, weight: Any, bias: Any, epsilon: float) -> Any:
    x = x.astype(np.float64)
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + epsilon) * weight + bias


@pytest.mark.parametrize("shape", SIZES)
def test_against_float64(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, weight, bias = normal(rng, *shape) * 4 + 1, normal(rng, shape[-1]), normal(rng, shape[-1])
    np.testing.assert_allclose(_C.softmax(x), softmax(x), rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(_C.log_softmax(x), np.log(softmax(x)), rtol=5e-7, atol=5e-7)
    np.testing.assert_allclose(_C.layer_norm(x, weight, bias, 1e-5), layer_norm(x, weight, bias, 1e-5), rtol=2e-6,
                               atol=5e-6)
    np.testing.assert_allclose(_C.layer_norm(x, None, None, 1e-3), layer_norm(x, 1, 0, 1e-3), rtol=2e-6, atol=5e-6)


def test_every_instruction_set_and_number_of_threads(rng: np.random.Generator) -> None:
    x, weight, bias = normal(rng, 300, 333), normal(rng, 333), normal(rng, 333)
    found = everywhere(lambda: _C.softmax(x).tobytes() + _C.log_softmax(x).tobytes()
                       + _C.layer_norm(x, weight, bias, 1e-5).tobytes(), (1, 2, 4))
    assert len(set(found.values())) == 1


def test_numbers_that_are_none() -> None:
    rows = np.array([[0, -np.inf, 1], [np.nan, 0, 1], [0, 1, np.nan], [-np.inf] * 3, [np.inf, 0, 0]], np.float32)
    found = _C.softmax(rows)
    assert found[0, 1] == 0 and found[0].sum() == pytest.approx(1) and np.isnan(found[1:4]).all()
    assert np.isnan(found[4, 0])
    logarithms = _C.log_softmax(rows)
    assert logarithms[0, 1] == -np.inf and np.isfinite(logarithms[0, ::2]).all() and np.isnan(logarithms[1:]).all()
    assert _C.log_softmax(np.empty((3, 0), np.float32)).shape == (3, 0)
    assert np.isnan(_C.layer_norm(rows[1:], None, None, 1e-5)).all()
    assert _C.softmax(np.empty((3, 0), np.float32)).shape == (3, 0)
    assert _C.layer_norm(np.empty((0, 3), np.float32), None, None, 1e-5).shape == (0, 3)


def test_another_axis(rng: np.random.Generator) -> None:
    x = normal(rng, 3, 7, 5)
    for axis in (0, 1, 2, -2):
        wanted = np.moveaxis(softmax(np.moveaxis(x, axis, -1)), -1, axis)
        np.testing.assert_allclose(fnn.functional.softmax(x, axis), wanted, rtol=2e-6)


@pytest.mark.parametrize("columns", [5, 40, 4097])
def test_programs(rng: np.random.Generator, columns: int) -> None:
    model = network("""a = MatMul (x, v)  n = LayerNormalization (a, weight, bias)  b = MatMul (n, w)  s = Softmax (b)
                       c = MatMul (s, u)  y = Add (c, n)""", "float[N,3,6] x", f"float[N,3,{columns}] y",
                    v=normal(rng, 6, columns), weight=normal(rng, columns), bias=normal(rng, columns),
                    w=normal(rng, columns, 7) / 3, u=normal(rng, 7, columns))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 6)], methods=())
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    for batch in (1, 3):
        x = normal(rng, batch, 3, 6)
        found = session.run(None, {"x": x})
        assert [a.tobytes() for a in found] == [a.tobytes() for a in graph.interpret(int8, {"x": x})]
    assert columns > 4096 or session._program.run({"x": x}, ["y"]) is not None


@pytest.mark.parametrize("body", ["y = Softmax <axis = -1> (c)", "y = LayerNormalization <axis = -1> (c, scale)"])
def test_rows_of_an_image_are_not_its_channels(rng: np.random.Generator, body: str) -> None:
    """As wide as there are channels, too; quantised, so that the image comes out of an integer layer."""
    weights = {"w": normal(rng, 8, 4, 1, 1)} | ({"scale": normal(rng, 8)} if "scale" in body else {})
    model = network(f"c = Conv (x, w)  {body}", "float[N,4,H,8] x", "float[N,8,H,8] y, float[N,8,H,8] c", **weights)
    x = normal(rng, 2, 4, 6, 8)
    y, c = graph.compile(graph.quantize(model, [x])).run(None, {"x": x})
    rows = softmax(c) if "Softmax" in body else layer_norm(c, weights["scale"], 0, 1e-5)
    np.testing.assert_allclose(y, rows, rtol=2e-6, atol=5e-6)


@pytest.mark.parametrize(("axis", "shape"), [
    (1, (2, 5, 7)), (-2, (1, 3, 8)), (0, (3, 4, 2)), (1, (2, 16, 4, 9)), (2, (2, 3, 4, 9))])
def test_softmax_along_another_axis(rng: np.random.Generator, tmp_path: Path, axis: int,
                                    shape: tuple[int, ...]) -> None:
    """As of YOLO's boxes and of classes of pixels."""
    sizes = ",".join(["N", *map(str, shape[1:])])
    model = network(f"a = Neg (x)  y = Softmax <axis = {axis}> (a)", f"float[{sizes}] x", f"float[{sizes}] y")
    session = graph.compile(model)
    assert all(row.kernel != "Python" for row in session.summary())
    session.save(tmp_path / "s.pqc")
    x = normal(rng, *shape)
    found, = assert_same_bits(session, model, {"x": x})
    wanted = np.moveaxis(softmax(np.moveaxis(-x, axis, -1)), -1, axis)
    np.testing.assert_allclose(found, wanted, rtol=2e-6)
    assert graph.load_session(tmp_path / "s.pqc").run(None, {"x": x})[0].tobytes() == found.tobytes()


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_logarithms_of_softmax(rng: np.random.Generator, tmp_path: Path, axis: int) -> None:
    """Of what a layer gives as an image, too, and as the codes that a layer reads."""
    model = network(f"""c = Conv (x, w)  l = LogSoftmax <axis = {axis}> (c)  y = Relu (l)
                        k = LogSoftmax (c)  z = MatMul (k, v)""", "float[N,3,9] x", "float[N,5,9] y, float[N,5,4] z",
                    w=normal(rng, 5, 3, 1), v=normal(rng, 9, 4))
    x = normal(rng, 4, 3, 9)
    for each in (model, graph.quantize(model, [x], methods=())):
        session = graph.compile(each)
        assert all(row.kernel != "Python" for row in session.summary())
        session.save(tmp_path / "l.pqc")
        for count in (1, 4):
            wanted = assert_same_bits(session, each, {"x": x[:count]})
            found = graph.load_session(tmp_path / "l.pqc").run(None, {"x": x[:count]})
            assert [array.tobytes() for array in found] == [array.tobytes() for array in wanted]

"""Attention as exporters write it: residuals of matrices in the output stage, factors in weights, no step of Python."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.passes import prepare

from ..networks import network, normal, operators
from .same_bits import assert_same_bits


def scores(rng: np.random.Generator, body: str, **more: Any) -> ir.Model:
    """Two projections, whose scores come out."""
    return network(f"""a = MatMul (x, w1)  c = Add (a, b1)  q = Reshape (c, shape)
                       e = MatMul (x, w2)  f = Add (b2, e)  k = Reshape (f, shape)
                       qt = Transpose <perm = [0, 2, 1, 3]> (q)  kt = Transpose <perm = [0, 2, 3, 1]> (k)  {body}""",
                   "float[N,6,16] x", "float[N,2,6,6] y", w1=normal(rng, 16, 16) / 4, b1=normal(rng, 16),
                   w2=normal(rng, 16, 16) / 4, b2=normal(rng, 16), shape=np.array([0, 0, 2, 8]), **more)


def prepared(model: ir.Model) -> ir.Model:
    """A copy as `quantize` makes it ready."""
    copied = ir.from_proto(ir.to_proto(model))
    prepare(copied)
    return copied


FACTORS = {
    "scores divided": "m = MatMul (qt, kt)  y = Div (m, eight)",
    "scores multiplied": "m = MatMul (qt, kt)  d = Mul (third, m)  y = Relu (d)",
    "both": "q2 = Mul (qt, third)  k2 = Mul (kt, third)  m = MatMul (q2, k2)  y = Neg (m)",
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors_go_into_weights(rng: np.random.Generator, name: str) -> None:
    numbers = {"eight": np.float32(8), "third": np.float32(1 / 3)}
    body = FACTORS[name] + ("  z = Neg (y)" if name == "scores divided" else "")
    model = scores(rng, body.replace("y = Div", "d = Div").replace("z = Neg (y)", "y = Neg (d)"),
                   **{key: value for key, value in numbers.items() if key in body})
    x = normal(rng, 2, 6, 16)
    folded = prepared(model)
    assert not {"Mul", "Div"} & {*operators(folded)}
    wanted, found = (graph.interpret(each, {"x": x})[0] for each in (model, folded))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", [
    "m = MatMul (qt, kt)  y = Div (eight, m)", "m = MatMul (qt, kt)  d = Mul (m, eight)  y = Add (m, d)",
    "m = MatMul (qt, kt)  y = Mul (m, none)", "m = MatMul (qt, kt)  s = Sigmoid (m)  y = Mul (s, eight)"])
def test_other_factors_stay(rng: np.random.Generator, body: str) -> None:
    """Divided by, read twice, zero, behind what is not linear."""
    numbers = {"eight": np.float32(8), "none": np.float32(0)}
    model = scores(rng, body, **{key: value for key, value in numbers.items() if key in body})
    x = normal(rng, 2, 6, 16)
    folded = prepared(model)
    assert {"Mul", "Div"} & {*operators(folded)}
    wanted, found = (graph.interpret(each, {"x": x})[0] for each in (model, folded))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", ["auto", "float", "u8"])
@pytest.mark.parametrize("width", [3, 64, 70])
def test_residuals_of_matrices(rng: np.random.Generator, residual: str, width: int) -> None:
    model = network("""a = MatMul (x, w1)  c = Add (a, b1)  s = Add (x, c)  n = LayerNormalization (s, weight)
                       d = MatMul (n, w2)  e = Relu (d)  f = MatMul (e, w3)  g = Add (f, b3)  h = Add (g, n)
                       y = Relu (h)""", f"float[N,T,{width}] x", f"float[N,T,{width}] y",
                    w1=normal(rng, width, width), b1=normal(rng, width), weight=normal(rng, width),
                    w2=normal(rng, width, 33), w3=normal(rng, 33, width), b3=normal(rng, width))
    int8 = graph.quantize(model, [normal(rng, 2, 5, width)], methods=(), residual=residual)
    session = graph.compile(int8)
    rows = [row.kernel for row in session.summary()]
    assert "Python" not in rows and "chain" not in rows
    for shape in ((2, 5), (1, 1), (3, 50)):
        assert_same_bits(session, int8, {"x": normal(rng, *shape, width)})


def test_rows_that_are_added_to_all(rng: np.random.Generator) -> None:
    """What broadcasts is no residual."""
    model = network("a = MatMul (x, w)  y = Add (a, row)", "float[N,T,8] x, float[1,T,8] row", "float[N,T,8] y",
                    w=normal(rng, 8, 8))
    int8 = graph.quantize(model, [(normal(rng, 2, 5, 8), normal(rng, 1, 5, 8))], methods=())
    feeds = {"x": normal(rng, 3, 5, 8), "row": normal(rng, 1, 5, 8)}
    found = graph.compile(int8)._program.run(feeds, ["y"])
    assert found is not None and found[0].tobytes() == graph.interpret(int8, feeds)[0].tobytes()


STAY = ["Transpose", "Reshape", "Transpose", "Reshape"]
AROUND = [([-1, 6, 8], [2, 2, 8, 6], ["Transpose"]), ([4, 6, 8], [-1, 2, 8, 6], ["Transpose"]),
          ([2, 2, 6, 8], [4, 8, 6], ["Transpose", "Reshape"]), ([4, 8, 6], [2, 2, 6, 8], STAY),
          ([2, 12, 8], [2, 2, 8, 6], STAY), ([4, 6, 8], [2, 1, 2, 8, 6], STAY)]


@pytest.mark.parametrize("joined, parted, left", AROUND)
def test_matrices_transposed_between_reshapes(rng: np.random.Generator, joined: list[int], parted: list[int],
                                              left: list[str]) -> None:
    """torch's exporter joins batch and heads to transpose keys: the product takes that along."""
    rank = len(joined)
    order = [*range(rank - 2), rank - 1, rank - 2]
    made = ",".join(str(size if size > 0 else 2) for size in parted)
    model = network(f"""t = Transpose <perm = [0, 2, 1, 3]> (x)  r = Reshape (t, joined)
                        s = Transpose <perm = {order}> (r)  y = Reshape (s, parted)""", "float[2,6,2,8] x",
                    f"float[{made}] y", joined=np.array(joined), parted=np.array(parted))
    x = normal(rng, 2, 6, 2, 8)
    folded = prepared(model)
    assert operators(folded) == left
    wanted = x.transpose(0, 2, 1, 3).reshape(joined).transpose(order).reshape(parted)
    for each in (model, folded):
        assert np.array_equal(graph.interpret(each, {"x": x})[0], wanted)


def test_matrices_transposed_that_others_read_stay(rng: np.random.Generator) -> None:
    model = network("""r = Reshape (x, joined)  s = Transpose <perm = [0, 2, 1]> (r)  y = Reshape (s, parted)
                       z = Neg (s)""", "float[2,2,6,8] x", "float[2,2,8,6] y, float[4,8,6] z",
                    joined=np.array([4, 6, 8]), parted=np.array([2, 2, 8, 6]))
    x = normal(rng, 2, 2, 6, 8)
    found = graph.interpret(prepared(model), {"x": x})
    assert np.array_equal(found[0], x.transpose(0, 1, 3, 2))
    assert np.array_equal(found[1], -x.reshape(4, 6, 8).transpose(0, 2, 1))

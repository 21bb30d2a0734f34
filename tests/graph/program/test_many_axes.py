"""Products and chains of arrays with more than four axes, Einsum, pools of arrays: against NumPy."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.interpreter.rows import product_of

from ..networks import network, normal
from .same_bits import assert_same_bits
from .test_gather import on_every_machine, python_steps


@pytest.mark.parametrize("equation", ["ij,jk->ik", "bij,bkj->bik", "b h i d , b h j d -> b h i j", "BGHIJ,BGHJD->BGHID",
                                      "BGHID,BGHJD->BGHIJ"])
def test_products_by_einsum(rng: np.random.Generator, equation: str) -> None:
    a, b = (part.strip() for part in equation.split("->")[0].replace(" ", "").split(","))
    sizes = dict(zip("".join(sorted({*a, *b})), (2, 3, 4, 5, 6, 7), strict=False))
    shapes = [[sizes[letter] for letter in each] for each in (a, b)]
    model = network(f'm = Neg (x)  e = Einsum <equation = "{equation}"> (m, z)  y = Abs (e)',
                    f"float[{','.join(map(str, shapes[0]))}] x, float[{','.join(map(str, shapes[1]))}] z",
                    f"float[{','.join('PQRST'[:len(a)])}] y")
    x, z = (normal(rng, *shape) for shape in shapes)
    found = on_every_machine(model, {"x": x, "z": z})
    wanted = np.abs(np.einsum(equation, x.astype(float), z.astype(float)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equation", ["ij,jk->ki", "ii,ij->ij", "ij,ij->ij", "bij,jk->bik", "ij,jk->i", "ij->ji",
                                      "...ij,...jk->...ik", "bij,cjk->bik", "ij,jk,kl->il", "ij,jk", "i,i->i",
                                      "ij,jj->ij"])
def test_what_is_no_product_of_matrices(equation: str) -> None:
    assert product_of(equation) is None


def test_other_einsums(rng: np.random.Generator) -> None:
    for equation, shapes in (("ij,jk->ki", ((3, 4), (4, 5))), ("bij,jk->bik", ((2, 3, 4), (4, 5))),
                             ("bij,bjk->bik", ((1, 3, 4), (2, 4, 5)))):
        x, z = (normal(rng, *shape) for shape in shapes)
        names = [",".join(f"{letter}{number}" for letter in "ABC"[:len(shape)]) for number, shape in enumerate(shapes)]
        model = network(f'y = Einsum <equation = "{equation}"> (x, z)', f"float[{names[0]}] x, float[{names[1]}] z",
                        f"float[{','.join('PQR'[:len(equation.split('->')[1])])}] y")
        np.testing.assert_allclose(graph.compile(model).run(None, {"x": x, "z": z})[0], np.einsum(equation, x, z),
                                   rtol=1e-5, atol=1e-5)


def test_attention_in_windows(rng: np.random.Generator) -> None:
    """As Swin's and MaxViT's: five axes, a bias that windows share, a mask that heads share."""
    model = network("""s = Mul (q, c)  e = MatMul (s, k)  a = Add (e, bias)  m = Add (a, mask)  p = Softmax (m)
                       y = MatMul (p, v)""",
                    "float[N,4,3,7,5] q, float[N,4,3,5,7] k, float[N,4,3,7,5] v, float[1,4,1,7,7] mask",
                    "float[N,4,3,7,5] y", c=np.float32(0.4), bias=normal(rng, 1, 1, 3, 7, 7))
    for count in (1, 2):
        q, k, v = normal(rng, count, 4, 3, 7, 5), normal(rng, count, 4, 3, 5, 7), normal(rng, count, 4, 3, 7, 5)
        feeds = {"q": q, "k": k, "v": v, "mask": normal(rng, 1, 4, 1, 7, 7)}
        found = on_every_machine(model, feeds)
        bias = next(value.const_value.numpy() for name, value in model.graph.initializers.items() if name == "bias")
        logits = (q.astype(float) * np.float32(0.4)) @ k + bias + feeds["mask"]
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        np.testing.assert_allclose(found, weights / weights.sum(-1, keepdims=True) @ v, rtol=2e-5, atol=2e-5)


def test_products_whose_axes_do_not_follow_each_other(rng: np.random.Generator) -> None:
    """Broadcast over one of many axes, and transposed: right all the same."""
    model = network("""t = Transpose <perm = [0, 2, 1, 3, 4]> (a)  y = MatMul (t, b)
                       u = Transpose <perm = [0, 1, 2, 4, 3]> (y)  z = MatMul (a, c)""",
                    "float[2,4,3,7,5] a, float[2,3,4,5,6] b, float[1,4,1,5,7] c",
                    "float[2,3,4,7,6] y, float[2,3,4,6,7] u, float[2,4,3,7,7] z")
    feeds: dict[str, Any] = {"a": normal(rng, 2, 4, 3, 7, 5), "b": normal(rng, 2, 3, 4, 5, 6),
                             "c": normal(rng, 1, 4, 1, 5, 7)}
    y, u, z = assert_same_bits(graph.compile(model), model, feeds)
    np.testing.assert_allclose(y, feeds["a"].swapaxes(1, 2) @ feeds["b"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(u, y.swapaxes(3, 4))
    np.testing.assert_allclose(z, feeds["a"] @ feeds["c"], rtol=1e-5, atol=1e-5)


def test_chains_whose_axes_cannot_be_joined(rng: np.random.Generator) -> None:
    model = network("s = Mul (x, z)  y = Neg (s)", "float[2,3,4,5,6] x, float[2,1,4,1,6] z", "float[2,3,4,5,6] y")
    session, feeds = graph.compile(model), {"x": normal(rng, 2, 3, 4, 5, 6), "z": normal(rng, 2, 1, 4, 1, 6)}
    assert "Python" in [row.kernel for row in session.summary()]
    np.testing.assert_array_equal(assert_same_bits(session, model, feeds)[0], -(feeds["x"] * feeds["z"]))


def test_pools_of_arrays(rng: np.random.Generator) -> None:
    """Ahead of all layers, and of rows that became planes."""
    model = network("""a = AveragePool <kernel_shape = [3, 2], pads = [1, 0, 1, 1], strides = [2, 1]> (x)
                       m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
                       t = Transpose <perm = [0, 3, 1, 2]> (x)
                       u = AveragePool <kernel_shape = [2, 2]> (t)  y = Neg (u)""", "float[N,4,H,W] x",
                    "float[N,4,P,Q] a, float[N,4,R,S] m, float[N,W,3,T] y")
    session, x = graph.compile(model), normal(rng, 2, 4, 6, 8)
    assert python_steps(session) == []
    _, m, y = assert_same_bits(session, model, {"x": x})
    np.testing.assert_array_equal(m, x.reshape(2, 4, 3, 2, 4, 2).max((3, 5)))
    t = x.transpose(0, 3, 1, 2).astype(float)
    np.testing.assert_allclose(y, -(t[:, :, :-1, :-1] + t[:, :, 1:, :-1] + t[:, :, :-1, 1:] + t[:, :, 1:, 1:]) / 4,
                               rtol=1e-5, atol=1e-6)

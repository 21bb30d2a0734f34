"""Sums, means, extremes and norms over any axes, against NumPy in float64, on every machine the same bits."""
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program.operations import array_of
from pytorch_quantization_c.graph.program.reductions import Reduced

from ..networks import network, normal
from .same_bits import assert_same_bits
from .test_gather import on_every_machine, python_steps

TRUTHS: dict[str, Any] = {
    "ReduceSum": lambda x, axes: x.sum(axes, keepdims=True), "ReduceMean": lambda x, axes: x.mean(axes, keepdims=True),
    "ReduceMax": lambda x, axes: x.max(axes, keepdims=True), "ReduceMin": lambda x, axes: x.min(axes, keepdims=True),
    "ReduceL1": lambda x, axes: np.abs(x).sum(axes, keepdims=True),
    "ReduceL2": lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True)),
    "ReduceSumSquare": lambda x, axes: (x * x).sum(axes, keepdims=True)}
AXES = [axes for count in range(1, 5) for axes in itertools.combinations(range(4), count)]


@pytest.mark.parametrize("op", TRUTHS)
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_any_axes(rng: np.random.Generator, op: str, axes: tuple[int, ...]) -> None:
    for keep, shape in ((1, (3, 5, 9, 17)), (0, (1, 16, 1, 300))):
        if not keep and len(axes) == 4:
            continue
        names = "PQRS"[:4 if keep else 4 - len(axes)]
        model = network(f"n = Neg (x)  r = {op} <keepdims = {keep}> (n, axes)  y = Neg (r)", "float[A,B,C,D] x",
                        f"float[{','.join(names)}] y", axes=np.array(axes))
        x = normal(rng, *shape)
        found = on_every_machine(model, {"x": x})
        wanted = -TRUTHS[op](-x.astype(np.float64), axes)
        np.testing.assert_allclose(found, wanted if keep else wanted.reshape(found.shape), rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100, 128, 129, 1000, 5003])
def test_the_order_of_sums(rng: np.random.Generator, count: int) -> None:
    """That of NumPy for elements that lie together, and for rows: to the bit."""
    x = normal(rng, 5, count)
    model = network("s = ReduceSum (x, last)  m = ReduceMean (x, first)", "float[5,M] x", "float[5,1] s, float[1,M] m",
                    last=np.array([-1]), first=np.array([0]))
    s, m = assert_same_bits(graph.compile(model), model, {"x": x})
    np.testing.assert_array_equal(s, x.sum(-1, keepdims=True))
    np.testing.assert_array_equal(m, x.mean(0, keepdims=True))


@pytest.mark.parametrize("op", TRUTHS)
def test_special_numbers(op: str) -> None:
    """NaN and infinities; no zero is negative."""
    x = np.array([[-0.0, -0.0, -0.0], [0.0, -0.0, -0.0], [np.nan, 1, 2], [1, 2, np.nan], [np.inf, 1, 2],
                  [-np.inf, 3, 4]], np.float32)
    for data in (x, np.repeat(x, 7, axis=1)):
        for axis, array in ((1, data), (0, data.T.copy())):
            model = network(f"y = {op} (x, axes)", "float[M,N] x", "float[P,Q] y", axes=np.array([axis]))
            found = on_every_machine(model, {"x": array})
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(found, TRUTHS[op](array.astype(np.float64), axis))
            assert not np.signbit(found[found == 0]).any()


def test_root_mean_squares(rng: np.random.Generator, tmp_path: Path) -> None:
    """RMSNorm as Llama's is written out, between layers; saved, and of other lengths."""
    model = network("""q = Mul (x, x)  m = ReduceMean <keepdims = 1> (q, last)  e = Add (m, eps)  r = Sqrt (e)
                       d = Reciprocal (r)  n = Mul (x, d)  g = Mul (n, w)  y = MatMul (g, v)""", "float[N,T,48] x",
                    "float[N,T,12] y", last=np.array([-1]), eps=np.float32(1e-6), w=normal(rng, 48),
                    v=normal(rng, 48, 12))
    int8 = graph.quantize(model, [normal(rng, 2, 5, 48)], methods=())
    session = graph.compile(int8)
    session.save(tmp_path / "r.pqc")
    saved = graph.load_session(tmp_path / "r.pqc")
    assert python_steps(session) == [] and len(session._program.order) == 1
    for length in (1, 5, 33):
        feeds = {"x": normal(rng, 3, length, 48)}
        wanted, = assert_same_bits(session, int8, feeds)
        assert saved.run(None, feeds)[0].tobytes() == wanted.tobytes()


def test_whole_planes(rng: np.random.Generator) -> None:
    """Global pools of arrays and of images, the channels of images."""
    model = network("""t = Transpose <perm = [0, 3, 1, 2]> (x)  a = GlobalAveragePool (t)  b = GlobalMaxPool (t)
                       c = Conv (t, w)  d = GlobalMaxPool (c)  e = ReduceMax (c, one)  f = ReduceMean (c, one)""",
                    "float[N,H,W,4] x", "float[N,4,1,1] a, float[N,4,1,1] b, float[N,6,1,1] d, float[N,1,H,W] e, "
                    "float[N,1,H,W] f", w=normal(rng, 6, 4, 1, 1), one=np.array([1]))
    int8 = graph.quantize(model, [normal(rng, 2, 5, 7, 4)], methods=())
    session, x = graph.compile(int8), normal(rng, 3, 4, 9, 4)
    assert python_steps(session) == []
    a, b, *_ = assert_same_bits(session, int8, {"x": x}, (1, 3))
    np.testing.assert_allclose(a[:, :, 0, 0], x.mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(b[:, :, 0, 0], x.max((1, 2)))


def test_other_reductions_stay_as_they_are(rng: np.random.Generator) -> None:
    """Of everything to one number without axes, and of axes that come in."""
    x = normal(rng, 3, 4)
    for body, inputs, more, wanted in (("y = ReduceSum <keepdims = 0> (n)", "", {}, -x.sum()),
                                       ("y = ReduceSum (n, axes)", ", int64[1] axes", {"axes": np.array([1])},
                                        -x.sum(1, keepdims=True))):
        model = network(f"n = Neg (x)  {body}", f"float[3,4] x{inputs}",
                        "float y" if not more else "float[P,Q] y")
        np.testing.assert_allclose(graph.compile(model).run(None, {"x": x, **more})[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("change", [{"kind": "median"}, {"first": 2}, {"first": -1}], ids=str)
def test_what_no_file_says(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"kind": "sum", "first": 0, "last": 1, "keep": True}
    Reduced("r", array_of(0), array_of(1), **good).check()
    with pytest.raises(ValueError, match="expected a reduction"):
        Reduced("r", array_of(0), array_of(1), **{**good, **change}).check()

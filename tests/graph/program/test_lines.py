"""Convolutions along one axis: images of one row; images that come with their channels last."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph

from ..networks import network, normal
from .same_bits import assert_same_bits

BODIES = {
    "plain": "c = Conv (x, w1)",
    "strided": "c = Conv <strides = [2], pads = [1, 2], kernel_shape = [3]> (x, w1, b1)",
    "dilated": "c = Conv <dilations = [2], pads = [2, 0]> (x, w1)",
    "depthwise": "d = Conv (x, w0)  c = Conv <group = 6, pads = [1, 1]> (d, w2)",
    "same": 'c = Conv <auto_pad = "SAME_UPPER", strides = [2]> (x, w1)',
}


@pytest.mark.parametrize("options", [{}, {"zero_point": False}], ids=str)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_one_axis(rng: np.random.Generator, body: str, options: dict[str, Any]) -> None:
    model = network(f"""{body}  s = Sigmoid (c)  m = Mul (s, k)  e = Conv (m, w3)  r = Relu (e)  a = Add (r, m)
                        y = Conv (a, w3)  z = Neg (m)""", "float[N,4,L] x", "float[N,6,M] y, float[N,6,M] z",
                    w0=normal(rng, 6, 4, 1), w1=normal(rng, 6, 4, 3), b1=normal(rng, 6), w2=normal(rng, 6, 1, 3),
                    w3=normal(rng, 6, 6, 1), k=normal(rng, 6, 1))
    int8 = graph.quantize(model, [normal(rng, 2, 4, 19)], methods=(), **options)
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    for batch, length in ((1, 19), (3, 8), (2, 64)):
        assert_same_bits(session, int8, {"x": normal(rng, batch, 4, length) * 2}, counts=(1,))


def test_channels_last(rng: np.random.Generator) -> None:
    model = network("""t = Transpose <perm = [0, 3, 1, 2]> (x)  c = Conv <pads = [1, 1, 1, 1]> (t, w1)
                       y = Conv (c, w2)""", "float[N,H,W,3] x", "float[N,5,H,W] y", w1=normal(rng, 6, 3, 3, 3),
                    w2=normal(rng, 5, 6, 1, 1))
    int8 = graph.quantize(model, [normal(rng, 1, 8, 7, 3)], methods=())
    session, x = graph.compile(int8), normal(rng, 2, 5, 9, 3)
    assert "Python" not in [row.kernel for row in session.summary()]
    assert session.run(None, {"x": x})[0].tobytes() == graph.interpret(int8, {"x": x})[0].tobytes()


def test_quantised_constants_are_computed_once(rng: np.random.Generator) -> None:
    model = network("y, h = LSTM <hidden_size = 5> (x, w, r, , lengths)", "float[2,3,4] x",
                    "float[2,1,3,5] y, float[1,3,5] h", lengths=np.array([2, 1, 2], np.int32),
                    w=normal(rng, 1, 20, 4), r=normal(rng, 1, 20, 5))
    int8 = graph.quantize(model, [normal(rng, 2, 3, 4)], methods=())
    session, x = graph.compile(int8), normal(rng, 2, 3, 4)
    assert [row.kernel for row in session.summary()].count("Python") == 0
    for a, b in zip(session.run(None, {"x": x}), graph.interpret(int8, {"x": x}), strict=True):
        assert a.tobytes() == b.tobytes()


def test_outputs_of_which_a_file_says_another_number_of_axes(rng: np.random.Generator) -> None:
    model = network("""s = Shape <start = 2, end = 3> (x)  k = Concat <axis = 0> (n, s, m)  c = Conv (x, w)
                       y = Reshape (c, k)""", "float[1,3,9,8] x", "float[A,B,C] y", w=normal(rng, 4, 3, 1, 1),
                    n=np.array([4]), m=np.array([8]))
    model.graph.outputs[0].shape = type(model.graph.outputs[0].shape)(["A", "B"])
    int8 = graph.quantize(model, [normal(rng, 1, 3, 9, 8)], methods=())
    x = normal(rng, 1, 3, 9, 8)
    assert graph.compile(int8).run(None, {"x": x})[0].tobytes() == graph.interpret(int8, {"x": x})[0].tobytes()

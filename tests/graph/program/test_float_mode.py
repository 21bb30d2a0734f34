"""Programs have the same bits whatever floating-point mode their caller is in: its plan, each step, every thread."""
from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.session import Session

from ...everywhere import MODES, assert_same_in_every_mode, float_mode
from ..networks import network, normal
from .test_strided import attention
from .zoo import ZOO

NETWORKS = ["resnet", "mobilenet", "branches", "swish", "squeeze", "linear", "attention", "elementwise", "resized"]


def elementwise(rng: np.random.Generator) -> ir.Model:
    """What compilers make of chains, and numbers far below 1, also subnormal ones."""
    return network("""a = Conv (x, w)  s = Sigmoid (a)  t = Mul (s, tiny)  u = Tanh (a)  v = Div (t, three)  e = Erf (u)
                      f = Sqrt (s)  g = Mul (e, f)  h = Add (g, v)  k = GlobalAveragePool (h)  y = Add (h, k)
                      z = Mul (v, small)""",
                   "float[N,4,9,9] x", "float[N,5,9,9] y, float[N,5,9,9] z", w=normal(rng, 5, 4, 1, 1), tiny=1e-37,
                   three=np.float32(3), small=np.float32(1e-3))


def resized(rng: np.random.Generator) -> ir.Model:
    """Weights of neighbours, which a plan has in tables, and means."""
    return network("""a = Conv (x, w)  r = Resize <mode = "linear"> (a, , factors)
                      s = Resize <mode = "cubic", axes = [2, 3]> (r, , , sizes)
                      m = ReduceMean (s, axes)  y = Sub (s, m)""",
                   "float[N,4,9,9] x", "float[N,5,P,Q] y", w=normal(rng, 5, 4, 1, 1), axes=np.array([1, 3]),
                   factors=np.array([1, 1, 1.7, 0.6], np.float32), sizes=np.array([11, 13]))


def made(rng: np.random.Generator, name: str) -> tuple[ir.Model, Any]:
    if name == "attention":
        model, shape = attention(rng), (11, 24)
    elif name == "elementwise":
        model, shape = elementwise(rng), (4, 9, 9)
    elif name == "resized":
        model, shape = resized(rng), (4, 9, 9)
    else:
        model, shape = ZOO[name](rng)
    x = normal(rng, 3, *shape) * 2
    return graph.quantize(model, [x], methods=()), x


def bits(session: Session, x: Any) -> list[bytes]:
    found = session._program.run({"x": x}, session._outputs)
    assert found is not None
    return [np.ascontiguousarray(each).tobytes() for each in found]


def in_c(session: Session) -> bool:
    """What NumPy computes has the mode of its caller."""
    return not any(row.kernel == "Python" for row in session.summary())


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_do_not_depend_on_the_mode(rng: np.random.Generator, name: str) -> None:
    model, x = made(rng, name)
    session = graph.compile(model)
    assert in_c(session), session.summary()
    assert_same_in_every_mode(lambda: bits(session, x), (1, 2, 3, 4))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_plans_do_not_depend_on_the_mode(rng: np.random.Generator, name: str, mode: str) -> None:
    """Ranges are folded into codes and tables are made when a shape comes for the first time."""
    model, x = made(rng, name)
    expected, new = bits(graph.compile(model), x), graph.compile(model)
    with float_mode(MODES[mode]):
        found = bits(new, x)
    assert found == expected


def test_threads_of_a_session_do_not_keep_the_mode_of_one_of_its_callers(rng: np.random.Generator) -> None:
    """Workers are started by a thread in a foreign mode, and then work for one in the default mode, and the reverse."""
    model, x = made(rng, "elementwise")
    session = graph.compile(model, num_threads=4)
    expected, wrong = bits(session, x), []

    def call(flags: int) -> None:
        for _ in range(20):
            with float_mode(flags):
                found = [each.tobytes() for each in session.run(None, {"x": x})]
            if found != expected:
                wrong.append(flags)

    callers = [threading.Thread(target=call, args=(flags,)) for flags in (*MODES.values(), 0)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert not wrong

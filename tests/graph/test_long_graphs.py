"""Graphs with chains longer than Python's stack, that branch again and again, or whose sizes no memory holds."""
from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.errors import GraphError
from pytorch_quantization_c.graph.passes.patterns import product

from ..patience import time_limit
from .networks import network, normal

LENGTH = 700  # steps
COUNT, ROOM = 2 ** 40, 2 ** 31  # elements, bytes


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    """A stack of Python that is short, and a time that only more than linear work takes."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        with time_limit(120):
            yield
    finally:
        sys.setrecursionlimit(before)


def chain(step: str, length: int = LENGTH, head: str = "v0 = MatMul (x, w)", tail: str = "y = MatMul ({}, w)") -> str:
    """`step` again and again, of {} and to {}, between a head that makes v0 and a tail."""
    steps = [step.format(f"v{number}", f"v{number + 1}") for number in range(length)]
    return "  ".join([head, *steps, tail.format(f"v{length}")])


def assert_close(model: ir.Model, x: Any, wanted: Any) -> None:
    """The quantised model's program agrees with the float result to 8 bits."""
    int8 = graph.quantize(model, [x], methods=())
    found, = graph.compile(int8).run(None, {"x": x})
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize("step, number", [
    ("{1} = Mul ({0}, c)", 1.001 ** LENGTH), ("{1} = Div ({0}, c)", 1.001 ** -LENGTH),
    ("{1} = Mul (c, {0})", 1.001 ** LENGTH), ("{1} = Abs ({0})", None)])
def test_elementwise_steps(rng: np.random.Generator, step: str, number: float | None) -> None:
    w, x = normal(rng, 4, 4), normal(rng, 6, 4)
    model = network(chain(step), "float[N,4] x", "float[N,4] y", w=w, c=np.float32(1.001))
    inner = np.abs(x @ w) if number is None else x @ w * number
    assert_close(model, x, inner @ w)


def test_moves(rng: np.random.Generator) -> None:
    """A layer's output whose readers are looked for through all of them, and whose scale moves up through them."""
    w, x = normal(rng, 4, 4), normal(rng, 4, 4)
    body = chain("t{1} = Transpose <perm = [1, 0]> ({0})  {1} = Reshape (t{1}, s)",
                 tail="m = Mul ({}, c)  y = MatMul (m, w)")
    model = network(body, "float[4,4] x", "float[4,4] y", w=w, c=np.float32(0.5), s=np.array([4, 4]))
    assert_close(model, x, x @ w * np.float32(0.5) @ w)


def test_pools(rng: np.random.Generator) -> None:
    w, x = normal(rng, 3, 3, 1, 1), normal(rng, 1, 3, 4, 4)
    body = chain("{1} = MaxPool <kernel_shape = [1, 1]> ({0})", head="v0 = Conv (x, w)", tail="y = Conv ({}, w)")
    model = network(body, "float[1,3,4,4] x", "float[1,3,4,4] y", w=w)
    matrix = w[:, :, 0, 0]
    assert_close(model, x, np.einsum("ij,njhw->nihw", matrix @ matrix, x))


def test_c_and_python_in_turn(rng: np.random.Generator) -> None:
    w, x = normal(rng, 4, 4) / 2, normal(rng, 2, 4)
    model = network(chain("r{1} = Neg ({0})  {1} = Sin (r{1})", 300), "float[N,4] x", "float[N,4] y", w=w)
    session = graph.compile(model)
    kinds = [type(each).__name__ for each in session._program.order]
    assert kinds == ["Segment", "Python"] * 300 + ["Segment"]
    wanted = x @ w
    for _ in range(300):
        wanted = np.sin(-wanted)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted @ w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [
    "{1} = Concat <axis = 0> ({0}, {0})",
    "a{1}, b{1} = Split <axis = 1, num_outputs = 2> ({0})  {1} = Concat <axis = 1> (b{1}, a{1})"])
@pytest.mark.parametrize("is_quantized", [True, False])
def test_branches_that_join_again(rng: np.random.Generator, step: str, is_quantized: bool) -> None:
    """There are 2 ** 50 ways back to where the numbers are from, of which all have one source."""
    head = """q = QuantizeLinear (x, s, z)  v0 = DequantizeLinear (q, s, z)  wq = QuantizeLinear (w, s, z)
              wd = DequantizeLinear (wq, s, z)""" if is_quantized else "v0 = Neg (x)  wd = Identity (w)"
    w, x = normal(rng, 4, 3), normal(rng, 0, 4)
    model = network(chain(step, 50, head, "y = MatMul ({}, wd)"), "float[N,4] x", "float[M,3] y", w=w,
                    s=np.float32(0.03), z=np.array(0, np.int8))
    session = graph.compile(ir.to_proto(model))
    assert session.run(None, {"x": x})[0].shape == (0, 3)
    if "Split" in step:
        x = normal(rng, 2, 4)
        found, = session.run(None, {"x": x})
        np.testing.assert_allclose(found, (x if is_quantized else -x) @ w, atol=0.4 if is_quantized else 1e-5)


def test_the_factors_of_a_long_product(rng: np.random.Generator) -> None:
    """As many as a pattern may have; what is beyond is a factor of its own."""
    model = network(chain("{1} = Mul (c, {0})", 50, "v0 = Abs (x)", "y = Neg ({})"), "float[N] x", "float[N] y",
                    c=np.float32(2))
    factors, number = product(model.graph[-1].inputs[0])
    assert [value.name for value in factors] == ["v34"] and number == 2 ** 16
    model = network("a = Mul (x, z)  b = Div (a, c)  d = Mul (c, b)  e = Mul (x, d)  y = Neg (e)",
                    "float[N] x, float[N] z", "float[N] y", c=np.float32(4))
    factors, number = product(model.graph[-1].inputs[0])
    assert [value.name for value in factors] == ["x", "x", "z"] and number == 1


@pytest.mark.parametrize("step", ["h = ConstantOfShape (many)", "h = Expand (one, many)", "h = Tile (one, many)",
                                  "h = HannWindow (count)", "r = Range (zero, count, unit)  h = Cast <to = 1> (r)",
                                  "k = Mul (count, unit)  r = Range (zero, k, unit)  h = Cast <to = 1> (r)",
                                  "i = OneHot (places, count, two)  h = Squeeze (i)"])
def test_arrays_that_no_memory_holds(rng: np.random.Generator, step: str) -> None:
    """They are computed when the graph runs, and not element by element to know what shapes others have."""
    model = network(f"{step}  m = ReduceMax <keepdims = 0> (h)  a = MatMul (x, w)  y = Add (a, m)", "float[N,4] x",
                    "float[N,3] y", w=normal(rng, 4, 3), one=np.float32([1]), many=np.array([COUNT]), unit=np.array(1),
                    count=np.array(COUNT), zero=np.array(0), places=np.array([0]), two=np.float32([0, 1]))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limits[1]))
    try:
        int8 = graph.quantize(model, None)
        with pytest.raises((GraphError, MemoryError)):
            graph.compile(int8).run(None, {"x": normal(rng, 2, 4)})
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)

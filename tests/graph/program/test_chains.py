"""Elementwise chains: the bits of the interpreter, no step of Python left, every way to broadcast."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx.reference
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program.shapes import Unsupported, of_four_axes

from ...everywhere import everywhere
from ..networks import network, normal
from .same_bits import assert_same_bits

OPERATORS = {
    "sigmoid": "t = Sigmoid (c)", "silu": "s = Sigmoid (c)  t = Mul (c, s)", "hard_sigmoid": "t = HardSigmoid (c)",
    "hard_swish": "t = HardSwish (c)", "clip": "t = Clip (c, low, high)", "leaky": "t = LeakyRelu <alpha = 0.2> (c)",
    "prelu": "t = PRelu (c, channel)", "tanh": "t = Tanh (c)", "gelu": "t = Gelu (c)",
    "gelu_tanh": 't = Gelu <approximate = "tanh"> (c)', "square": "t = Pow (c, two)",
    "cube": "t = Pow (c, three)", "swish": "t = Mul (c, low)",
    "erf_gelu": "a = Div (c, root)  b = Erf (a)  e = Add (b, one)  f = Mul (c, e)  t = Mul (f, half)",
    "elu": "t = Elu <alpha = 0.7> (c)", "celu": "t = Celu <alpha = 1.3> (c)", "selu": "t = Selu (c)",
    "mish": "t = Mish (c)",
    "affine": "a = Mul (c, channel)  b = Sub (two, a)  e = Div (b, root)  t = Div (one, e)",
    "numbers": "a = Sub (c, two)  b = Max (a, c, low)  e = Min (b, high)  f = Neg (e)  g = Abs (f)  t = Sqrt (g)",
    "pixels": "m = ReduceMax <keepdims = 1> (x, ax)  a = Mul (c, m)  t = Relu (a)",
    "rows": "t = Add (c, row)",
    "scaled": "h = HardSwish (c)  a = Mul (h, root)  t = Add (a, half)",
    "scaled_clip": "a = Mul (c, root)  b = Add (a, half)  t = Clip (b, low, high)",
    "many": "a = Add (c, channel)  b = Mul (a, row)  e = Add (b, full)  t = Sub (e, channel)",
}
CONSTANTS: dict[str, Any] = {"low": np.float32(0.1), "high": np.float32(6), "two": np.float32(2), "one": np.float32(1),
                             "three": np.float32(3),
                             "half": np.float32(0.5), "root": np.float32(np.sqrt(2)), "ax": np.array([1])}


def of_images(rng: np.random.Generator, name: str, channels: int) -> ir.Model:
    return network(f"""c = Conv <pads = [1, 1, 1, 1]> (x, w1)  {OPERATORS[name]}  d = Conv (t, w2)  y = Add (d, t)""",
                   "float[N,3,9,7] x", f"float[N,{channels},9,7] y", opset=20,
                   w1=normal(rng, channels, 3, 3, 3) / 4, w2=normal(rng, channels, channels, 1, 1) / 4,
                   channel=normal(rng, channels, 1, 1), row=normal(rng, 9, 1), full=normal(rng, channels, 9, 7),
                   **CONSTANTS)


def of_rows(rng: np.random.Generator, name: str, channels: int) -> ir.Model:
    return network(f"c = MatMul (x, w1)  {OPERATORS[name]}  d = MatMul (t, w2)  y = Add (d, t)", "float[N,9,5] x",
                   f"float[N,9,{channels}] y", opset=20, w1=normal(rng, 5, channels) / 4,
                   w2=normal(rng, channels, channels) / 4, channel=normal(rng, channels), row=normal(rng, 9, 1),
                   full=normal(rng, 9, channels), **CONSTANTS)


def quantized(model: ir.Model, x: Any) -> ir.Model:
    return graph.quantize(model, [x], methods=(), residual="float")


def run_in_c(model: ir.Model, x: Any) -> Any:
    session = graph.compile(model)
    found = session._program.run({"x": x}, ["y"])
    assert found is not None
    return found[0], [row.name for row in session.summary() if row.kernel == "Python"]


@pytest.mark.parametrize(("name", "make"), [(name, make) for name in OPERATORS for make in (of_images, of_rows)
                                            if name != "pixels" or make is of_images])
def test_every_operator(rng: np.random.Generator, name: str, make: Any) -> None:
    for channels in (1, 19):
        model = make(rng, name, channels)
        x = normal(rng, 3, *((3, 9, 7) if make is of_images else (9, 5)))
        int8 = quantized(model, x)
        found, python = run_in_c(int8, x)
        assert found.tobytes() == graph.interpret(int8, {"x": x})[0].tobytes()
        assert len(python) <= (name == "pixels")


@pytest.mark.parametrize("make", [of_images, of_rows])
@pytest.mark.parametrize("name", ["scaled", "scaled_clip", "hard_sigmoid"])
def test_numbers_behind_a_layer(rng: np.random.Generator, name: str, make: Any) -> None:
    """They are part of the output stage, whose bodies differ from one instruction set to the next."""
    for channels in (19, 72):
        x = normal(rng, 2, *((3, 9, 7) if make is of_images else (9, 5)))
        int8 = quantized(make(rng, name, channels), x)
        assert_same_bits(graph.compile(int8), int8, {"x": x}, (1, 2))


BATCH_NORM = "r = Relu (c)  t = BatchNormalization <epsilon = 0.01> (r, gamma, beta, mean, variance)"


@pytest.mark.parametrize("channels", [1, 19, 72])
def test_a_batch_norm_that_no_layer_takes(rng: np.random.Generator, channels: int) -> None:
    """Between layers and alone, with the numbers of ONNX's reference."""
    vectors = {"gamma": normal(rng, channels), "beta": normal(rng, channels), "mean": normal(rng, channels),
               "variance": rng.uniform(0.5, 2, channels)}
    model = network(f"c = Conv (x, w1)  {BATCH_NORM}  d = Conv <pads = [1, 1, 1, 1]> (t, w2)  y = Add (d, t)",
                    "float[N,3,9,7] x", f"float[N,{channels},9,7] y", w1=normal(rng, channels, 3, 1, 1),
                    w2=normal(rng, channels, channels, 3, 3), **vectors)
    x = normal(rng, 2, 3, 9, 7)
    int8 = quantized(model, x)
    session = graph.compile(int8)
    assert "BatchNormalization" in [node.op_type for node in int8.graph] and not run_in_c(int8, x)[1]
    assert_same_bits(session, int8, {"x": x}, (1, 2))
    alone, c = network(BATCH_NORM, f"float[N,{channels},9] c", f"float[N,{channels},9] t", **vectors), normal(
        rng, 2, channels, 9)
    wanted, = onnx.reference.ReferenceEvaluator(ir.to_proto(alone)).run(None, {"c": c})
    np.testing.assert_allclose(graph.compile(alone).run(None, {"c": c})[0], wanted, rtol=2e-6, atol=2e-6)
    assert "Python" not in [row.kernel for row in graph.compile(alone).summary()]


@pytest.mark.parametrize(("channels", "given"), [(3, 1), (1, 4)])
def test_a_batch_norm_of_other_channels_is_refused(rng: np.random.Generator, channels: int, given: int) -> None:
    vectors = {name: np.ones(given) for name in ("gamma", "beta", "mean", "variance")}
    model = network(BATCH_NORM, f"float[N,{channels},9] c", "float t", **vectors)
    with pytest.raises(graph.GraphError):
        graph.compile(model).run(None, {"c": normal(rng, 2, channels, 9)})


@pytest.mark.parametrize("operator", ["Mul", "Add"])
@pytest.mark.parametrize("is_quantized", [True, False])
def test_one_channel_and_a_constant_of_several(rng: np.random.Generator, operator: str, is_quantized: bool) -> None:
    """What such a chain gives has more channels than the layer before it."""
    model = network(f"c = Conv (x, w)  y = {operator} (c, k)", "float[N,3,8,8] x", "float[N,4,6,6] y",
                    w=normal(rng, 1, 3, 3, 3), k=normal(rng, 4, 1, 1))
    x = normal(rng, 2, 3, 8, 8)
    model = quantized(model, x) if is_quantized else model
    session = graph.compile(model)
    assert_same_bits(session, model, {"x": x}, (1, 2))


@pytest.mark.parametrize("name", OPERATORS)
def test_against_the_reference(rng: np.random.Generator, name: str) -> None:
    """Float networks, whose only C steps are chains; the reference computes in float32 as well."""
    model = network(OPERATORS[name], "float[N,4,9,7] c, float[N,3,9,7] x", "float[N,4,9,7] t", opset=20,
                    channel=normal(rng, 4, 1, 1), row=normal(rng, 9, 1), full=normal(rng, 4, 9, 7), **CONSTANTS)
    feeds = {"c": normal(rng, 2, 4, 9, 7) * 3, "x": normal(rng, 2, 3, 9, 7)}
    wanted = onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(None, feeds)[0]
    found = graph.compile(model).run(None, feeds)[0]
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("channels", [3, 1030])
def test_instruction_sets_threads_and_wide_pixels(rng: np.random.Generator, channels: int) -> None:
    int8 = quantized(of_images(rng, "many", channels), normal(rng, 1, 3, 9, 7))
    x = normal(rng, 1, 3, 9, 7)
    expected = graph.interpret(int8, {"x": x})[0].tobytes()
    for setting, found in everywhere(lambda: run_in_c(int8, x)[0].tobytes(), counts=(1, 3)).items():
        assert found == expected, setting


def test_squeeze_and_excitation(rng: np.random.Generator) -> None:
    model = network("""c = Conv (x, w1)  r = Relu (c)  p = GlobalAveragePool (r)  a = Conv (p, w2)  b = Relu (a)
                       d = Conv (b, w3)  g = HardSigmoid (d)  m = Mul (r, g)  y = Conv (m, w4)""",
                    "float[N,3,H,W] x", "float[N,7,H,W] y", w1=normal(rng, 20, 3, 1, 1), w2=normal(rng, 5, 20, 1, 1),
                    w3=normal(rng, 20, 5, 1, 1), w4=normal(rng, 7, 20, 1, 1))
    int8 = quantized(model, normal(rng, 1, 3, 9, 7))
    for batch in (1, 3):
        x = normal(rng, batch, 3, 11, 6)
        found, python = run_in_c(int8, x)
        assert found.tobytes() == graph.interpret(int8, {"x": x})[0].tobytes() and len(python) <= 1


def test_codes_and_floats_of_a_quantised_chain(rng: np.random.Generator) -> None:
    """A quantiser's floats are an output, its codes go to a concatenation of codes."""
    model = network("""c = Conv (x, w1)  s = Sigmoid (c)  m = Mul (c, s)  p = MaxPool <kernel_shape = [1, 1]> (c)
                       k = Concat <axis = 1> (m, p)  y = Conv (k, w2)  z = Add (m, c)""",
                    "float[N,3,H,W] x", "float[N,7,H,W] y, float[N,6,H,W] z", w1=normal(rng, 6, 3, 1, 1),
                    w2=normal(rng, 7, 12, 1, 1))
    for options in ({}, {"residual": "u8"}, {"zero_point": False}):
        int8 = graph.quantize(model, [normal(rng, 1, 3, 9, 7)], methods=(), **options)
        x = normal(rng, 2, 3, 5, 6)
        found = graph.compile(int8)._program.run({"x": x}, ["y", "z"])
        assert [a.tobytes() for a in found] == [a.tobytes() for a in graph.interpret(int8, {"x": x})]


def test_axes_are_joined_where_all_have_or_share_them() -> None:
    assert [each[:4] for each in of_four_axes([(2, 3, 4, 5, 6), (2, 3, 1, 1, 6), (6,)])] == [
        (2, 3, 20, 6), (2, 3, 1, 6), (1, 1, 1, 6)]
    assert of_four_axes([(5,)])[0][:4] == (1, 1, 1, 5)
    with pytest.raises(Unsupported):
        of_four_axes([(2, 3, 4, 5, 6), (2, 1, 4, 1, 6)])


def test_nan_leads_to_the_interpreter(rng: np.random.Generator) -> None:
    int8 = quantized(of_images(rng, "silu", 5), normal(rng, 1, 3, 9, 7))
    x = normal(rng, 1, 3, 9, 7)
    x[0, 1, 2, 3] = np.nan
    found, = graph.compile(int8).run(None, {"x": x})
    assert np.array_equal(found, graph.interpret(int8, {"x": x})[0], equal_nan=True)


@pytest.mark.parametrize("make", [of_images, of_rows])
def test_layers_take_chains(rng: np.random.Generator, make: Any) -> None:
    """What only a layer's results go through needs no pass of its own."""
    for name in ("silu", "gelu", "affine"):
        x = normal(rng, 1, *((3, 9, 7) if make is of_images else (9, 5)))
        session = graph.compile(quantized(make(rng, name, 19), x))
        assert "chain" not in [row.kernel for row in session.summary()]


def test_cubes(rng: np.random.Generator) -> None:
    """As exports of GELU by tanh have them: two products, so two roundings."""
    model = network("y = Pow (x, three)", "float[N] x", "float[N] y", three=np.float32(3))
    x = np.concatenate([normal(rng, 1000), np.array([0, -0.0, 1e-20, -1e-13, 1e13, -1e20, np.inf, -np.inf, np.nan])])
    x = x.astype(np.float32)
    got, python = run_in_c(model, x)
    assert python == []
    with np.errstate(over="ignore"):
        wanted = (x.astype(np.float64) ** 3).astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=2e-7, atol=2e-45)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))


@pytest.mark.parametrize("body", ["y = Div (wide, x)", "y = Max (x, wide)", "y = Pow (x, square)",
                                  "a = Sub (x, wide)  b = Max (a, x)  y = Neg (b)", "a = Neg (x)  y = Mul (a, wide)"])
def test_constants_of_one_element_with_more_axes_than_the_rest(rng: np.random.Generator, body: str) -> None:
    model = network(body, "float[N] x", "float[1,N] y", wide=np.full((1, 1), 1.5, np.float32),
                    square=np.full((1, 1), 2, np.float32))
    for size in (1, 5):
        feeds = {"x": np.abs(normal(rng, size)) + 1}
        wanted, = onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(None, feeds)
        got, = graph.compile(model).run(None, feeds)
        assert got.shape == wanted.shape == (1, size)
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def exponential(x: Any, alpha: float = 1.0, inner: float = 1.0, gamma: float = 1.0) -> Any:
    x = x.astype(np.float64)
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / inner))


@pytest.mark.parametrize(("node", "wanted"), [
    ("Elu", exponential), ("Elu <alpha = 0.25>", lambda x: exponential(x, 0.25)),
    ("Celu <alpha = 2.5>", lambda x: exponential(x, 2.5, 2.5)),
    ("Selu", lambda x: exponential(x, float(np.float32(1.6732632)), gamma=float(np.float32(1.05070102)))),
    ("Mish", lambda x: x * np.tanh(np.logaddexp(0, x.astype(np.float64))))])
def test_exponential_units(rng: np.random.Generator, node: str, wanted: Any) -> None:
    """Within four units in the last place of numbers of all sizes; limits and NaN."""
    x = np.concatenate([np.linspace(-100, 100, 4000), rng.standard_normal(4000) * np.exp(6 * rng.standard_normal(4000)),
                        [0.0, -1e-30, 3e38, -3e38]]).astype(np.float32).reshape(3, -1)
    model = network(f"y = {node} (x)", "float[N,M] x", "float[N,M] y")
    session = graph.compile(model)
    assert [row.kernel for row in session.summary()] == ["chain"]
    found, = assert_same_bits(session, model, {"x": x})
    exact = wanted(x)
    assert np.all(np.abs(found - exact) <= 4 * np.spacing(np.abs(exact).astype(np.float32)) + 1e-37)
    y, = session.run(None, {"x": np.array([[np.inf, np.nan]], np.float32)})
    assert y[0, 0] == np.inf and np.isnan(y[0, 1])


def test_celu_of_a_negative_alpha() -> None:
    """Which makes it the exponential of what is above 0."""
    x = np.linspace(-80, 80, 3001, dtype=np.float32).reshape(1, -1)
    model = network("y = Celu <alpha = -1.0> (x)", "float[N,M] x", "float[N,M] y")
    found, = assert_same_bits(graph.compile(model), model, {"x": x})
    np.testing.assert_allclose(found, exponential(x, -1.0, -1.0), rtol=1e-6)

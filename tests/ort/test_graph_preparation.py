"""Preparation changes no number by more than the rounding of floats, as onnxruntime computes both models."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from pytorch_quantization_c.graph.passes import prepare
from tests.graph.networks import convolutional, images, network, normal, operators

LARGEST_DIFFERENCE = 1e-5   # of the largest magnitude of an output; the cases below measure 1.4e-6 at most


def run(model: ir.Model, feeds: dict[str, Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def prepared(model: ir.Model, rng: np.random.Generator, shape: tuple[int, ...] = (2, 4, 9, 9)) -> list[str]:
    """The operators after preparation, which is checked to leave the function and the interface as they were."""
    made = model.clone()
    prepare(made)
    assert [value.name for value in made.graph.inputs] == [value.name for value in model.graph.inputs]
    assert [value.name for value in made.graph.outputs] == [value.name for value in model.graph.outputs]
    feeds = {"x": normal(rng, *shape)}
    for expected, got in zip(run(model, feeds), run(made, feeds), strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=LARGEST_DIFFERENCE * np.abs(expected).max())
    return operators(made)


def batch_norm(rng: np.random.Generator, channels: int) -> dict[str, Any]:
    return {"gamma": rng.uniform(0.5, 2, channels), "beta": normal(rng, channels), "mean": normal(rng, channels),
            "variance": rng.uniform(0.5, 2, channels)}


NORM = "BatchNormalization (c, gamma, beta, mean, variance)"


@pytest.mark.parametrize("groups, outputs", [(1, 6), (2, 6), (4, 4), (4, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_goes_into_the_convolution_before_it(rng: np.random.Generator, groups: int, outputs: int,
                                                        bias: bool) -> None:
    b = ", b" if bias else ""
    model = network(f"c = Conv <group = {groups}, pads = [1, 1, 1, 1]> (x, w{b}) y = {NORM}",
                    w=normal(rng, outputs, 4 // groups, 3, 3), b=normal(rng, outputs), **batch_norm(rng, outputs))
    assert prepared(model, rng) == ["Conv"]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_goes_into_the_transposed_convolution_before_it(rng: np.random.Generator, groups: int) -> None:
    model = network(f"c = ConvTranspose <group = {groups}, strides = [2, 2]> (x, w, b) y = {NORM}",
                    w=normal(rng, 4, 3, 2, 2), b=normal(rng, 3 * groups), **batch_norm(rng, 3 * groups))
    assert prepared(model, rng) == ["ConvTranspose"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_batch_norm_goes_into_the_linear_layer_before_it(rng: np.random.Generator, transposed: int) -> None:
    shape = (6, 5) if transposed else (5, 6)
    model = network(f"c = Gemm <transB = {transposed}, alpha = 0.5, beta = 2.0> (x, w, b) y = {NORM}",
                    "float[N,5] x", w=normal(rng, *shape), b=normal(rng, 6), **batch_norm(rng, 6))
    assert prepared(model, rng, (3, 5)) == ["Gemm"]


@pytest.mark.parametrize("layer, shape, weight", [
    ("Conv (n, w, b)", (2, 4, 9, 9), (6, 4, 3, 3)), ("Conv <group = 2> (n, w, b)", (2, 4, 9, 9), (6, 2, 3, 3)),
    ("Conv <group = 4> (n, w)", (2, 4, 9, 9), (4, 1, 3, 3)), ("Gemm (n, w, b)", (2, 4), (4, 6)),
    ("Gemm <transB = 1> (n, w)", (2, 4), (6, 4))])
def test_batch_norm_goes_into_the_layer_after_it(rng: np.random.Generator, layer: str, shape: tuple[int, ...],
                                                 weight: tuple[int, ...]) -> None:
    model = network(f"c = Relu (x) n = {NORM} y = {layer}", f"float{list(shape)} x", w=normal(rng, *weight),
                    b=normal(rng, 6), **batch_norm(rng, 4))
    assert prepared(model, rng, shape) == ["Relu", layer.split()[0]]


def test_a_shift_stays_before_padding_where_it_would_not_be_exact(rng: np.random.Generator) -> None:
    padded = "c = Relu (x) n = {} y = Conv <pads = [1, 1, 1, 1]> (n, w)"
    model = network(padded.format(NORM), w=normal(rng, 6, 4, 3, 3), **batch_norm(rng, 4))
    assert prepared(model, rng) == ["Relu", "BatchNormalization", "Conv"]
    scaled = network(padded.format("Mul (c, s)"), w=normal(rng, 6, 4, 3, 3), s=normal(rng, 4, 1, 1))
    assert prepared(scaled, rng) == ["Relu", "Conv"]


@pytest.mark.parametrize("step", ["Mul (c, k)", "Mul (k, c)", "Add (c, k)", "Sub (c, k)", "Sub (k, c)", "Div (c, k)"])
@pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1)])
def test_constants_go_into_the_layer_before_them(rng: np.random.Generator, step: str, shape: tuple[int, ...]) -> None:
    model = network(f"c = Conv (x, w, b) d = {step} y = Relu (d)", w=normal(rng, 6, 4, 3, 3), b=normal(rng, 6),
                    k=rng.uniform(0.5, 2, shape))
    assert prepared(model, rng) == ["Conv", "Relu"]


@pytest.mark.parametrize("body, kept", [
    ("c = Conv (x, w) y = Mul (c, k)", ["Conv", "Mul"]),                      # k varies over positions
    ("c = Conv (x, w) d = Mul (c, s) e = Relu (c) y = Add (d, e)", ["Conv", "Mul", "Relu", "Add"]),   # c is read twice
    ("c = Conv (x, w) y = Div (s, c)", ["Conv", "Div"]), ("c = Conv (x, w) y = Mul (c, x)", ["Conv", "Mul"])])
def test_what_is_not_one_number_a_channel_stays(rng: np.random.Generator, body: str, kept: list[str]) -> None:
    model = network(body, w=normal(rng, 4, 4, 1, 1), k=normal(rng, 9), s=np.float32(2.5))
    assert sorted(prepared(model, rng)) == sorted(kept)


def test_a_value_that_is_also_an_output_is_not_folded_away(rng: np.random.Generator) -> None:
    model = network("c = Conv (x, w) y = Mul (c, s)", outputs="float y, float c", w=normal(rng, 6, 4, 3, 3),
                    s=np.float32(2.5))
    assert prepared(model, rng) == ["Conv", "Mul"]


def test_a_tied_weight_is_folded_for_one_reader_alone(rng: np.random.Generator) -> None:
    model = network(f"c = Conv (x, w) n = {NORM} e = Relu (x) d = Conv (e, w) y = Sub (n, d)",
                    w=normal(rng, 6, 4, 3, 3), **batch_norm(rng, 6))
    assert sorted(prepared(model, rng)) == ["Conv", "Conv", "Relu", "Sub"]


HARD_SWISH = ["a = Add (x, three) g = Clip (a, zero, six) p = Mul (x, g) y = Div (p, six)",
              "a = Add (three, x) g = Clip (a, zero, six) p = Mul (g, x) y = Mul (sixth, p)",
              "a = Add (x, three) g = Clip (a, zero, six) d = Div (g, six) y = Mul (x, d)",
              "a = Add (x, three) g = Clip (a, zero, six) d = Mul (x, sixth) y = Mul (d, g)",
              "g = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (g, x)"]
ERF = ["e = Div (x, root) f = Erf (e) g = Add (f, one) h = Mul (x, g) y = Mul (h, half)",
       "e = Mul (x, inverse) f = Erf (e) g = Add (one, f) h = Mul (half, x) y = Mul (h, g)",
       "e = Div (x, root) f = Erf (e) g = Add (f, one) h = Mul (g, half) y = Mul (h, x)"]
TANH = ["q = Pow (x, cube) r = Mul (q, k) s = Add (x, r) t = Mul (s, m) u = Tanh (t) g = Add (u, one) h = Mul (x, g) "
        "y = Mul (h, half)",
        "q = Mul (x, x) q3 = Mul (q, x) r = Mul (k, q3) s = Add (r, x) t = Mul (m, s) u = Tanh (t) g = Add (one, u) "
        "h = Mul (half, g) y = Mul (x, h)",
        "q = Mul (x, x) r = Mul (q, k) s = Add (r, one) v = Mul (x, m) t = Mul (v, s) u = Tanh (t) g = Add (u, one) "
        "h = Mul (x, half) y = Mul (h, g)"]
NUMBERS = {"three": 3.0, "zero": 0.0, "six": 6.0, "sixth": 1 / 6, "root": 2 ** 0.5, "inverse": 0.5 ** 0.5, "one": 1.0,
           "half": 0.5, "cube": 3.0, "k": 0.044715, "m": (2 / np.pi) ** 0.5}
LAYER_NORM = "m = ReduceMean <keepdims = 1> (x, last) d = Sub (x, m) {} v = ReduceMean (s, last) e = Add (v, eps) " \
    "r = Sqrt (e) n = Div (d, r) o = Mul (n, scale) y = Add (o, bias)"


@pytest.mark.parametrize("body, operator", [*((body, "HardSwish") for body in HARD_SWISH),
                                            *((body, "Gelu") for body in ERF + TANH),
                                            ("p = Softplus (x) t = Tanh (p) y = Mul (t, x)", "Mish"),
                                            ("a = Abs (x) y = Pow (a, half)", ["Abs", "Sqrt"])])
def test_activations_written_out_are_recognised(rng: np.random.Generator, body: str,
                                                      operator: str | list[str]) -> None:
    assert prepared(network(body, **NUMBERS), rng) == ([operator] if isinstance(operator, str) else operator)


@pytest.mark.parametrize("number, wrong", [("three", 2.9), ("six", 5.0), ("sixth", 0.2), ("half", 0.4), ("one", 1.1),
                                           ("root", 1.5), ("k", 0.05), ("m", 0.7)])
def test_other_numbers_are_no_such_activation(rng: np.random.Generator, number: str, wrong: float) -> None:
    for body in HARD_SWISH + ERF + TANH:
        if number in body.replace("(", " ").replace(")", " ").replace(",", " ").split():
            found = prepared(network(body, **NUMBERS | {number: wrong}), rng)
            assert not {"HardSwish", "Gelu"} & set(found)


def test_a_hard_sigmoid_written_out_is_recognised(rng: np.random.Generator) -> None:
    assert prepared(network("a = Add (x, three) g = Clip (a, zero, six) y = Div (g, six)", **NUMBERS), rng) == \
        ["HardSigmoid"]


@pytest.mark.parametrize("square", ["s = Pow (d, two)", "s = Mul (d, d)"])
@pytest.mark.parametrize("root", ["Sqrt (e)", "Pow (e, half)"])
def test_a_layer_norm_written_out_is_recognised(rng: np.random.Generator, square: str, root: str) -> None:
    model = network(LAYER_NORM.format(square).replace("Sqrt (e)", root), "float[N,7,12] x", last=np.array([-1]),
                    two=2.0, eps=1e-5, half=0.5, scale=normal(rng, 12), bias=normal(rng, 12))
    assert prepared(model, rng, (2, 7, 12)) == ["LayerNormalization"]
    other = network(LAYER_NORM.format(square), "float[N,7,12] x", last=np.array([1]), two=2.0, eps=1e-5,
                    scale=normal(rng, 12), bias=normal(rng, 12))
    assert "LayerNormalization" not in prepared(other, rng, (2, 7, 12))


@pytest.mark.parametrize("body, kept", [
    ("y = ReduceMean (x, pixels)", ["GlobalAveragePool"]),
    ("y = ReduceMean <keepdims = 0> (x, back)", ["GlobalAveragePool", "Flatten"]),
    ("y = ReduceMean (x, channels)", ["ReduceMean"]), ("y = ReduceMean <keepdims = 0> (x, column)", ["ReduceMean"]),
    ("y = ReduceMean <keepdims = 0> (x)", ["ReduceMean"]),
    ("i = Cast <to = 6> (x) m = ReduceMean (i, pixels) y = Cast <to = 1> (m)", ["Cast", "ReduceMean", "Cast"]),
    ("i = Cast <to = 11> (x) m = ReduceMean (i, pixels) y = Cast <to = 1> (m)", ["Cast", "ReduceMean", "Cast"])])
def test_a_mean_over_all_pixels_is_a_pool(rng: np.random.Generator, body: str, kept: list[str]) -> None:
    axes = {"pixels": np.array([2, 3]), "back": np.array([-1, -2]), "channels": np.array([1]), "column": np.array([3])}
    assert prepared(network(body, **axes), rng) == kept


def test_operators_newer_than_the_opset_are_not_used(rng: np.random.Generator) -> None:
    assert "HardSwish" not in prepared(network(HARD_SWISH[0], opset=13, **NUMBERS), rng)
    assert "Gelu" not in prepared(network(ERF[0], opset=19, **NUMBERS), rng)


@pytest.mark.parametrize("body, kept", [
    ("a = Identity (x) b = Relu (a) y = Identity (b)", ["Relu"]), ("a = Dropout (x) y = Relu (a)", ["Relu"]),
    ("a = Cast <to = 1> (x) y = Relu (a)", ["Relu"]), ("a = Add (x, zero) b = Mul (a, one) y = Relu (b)", ["Relu"]),
    ("a = Transpose <perm = [0, 2, 3, 1]> (x) b = Transpose <perm = [0, 3, 1, 2]> (a) y = Relu (b)", ["Relu"]),
    ("a = Transpose <perm = [0, 2, 3, 1]> (x) b = Transpose <perm = [0, 2, 1, 3]> (a) y = Relu (b)",
     ["Transpose", "Relu"]),
    ("a = Reshape (x, flat) b = Reshape (a, square) y = Relu (b)", ["Relu"]),
    ("a = Reshape (x, flat) b = Reshape (a, other) y = Relu (b)", ["Reshape", "Relu"]),
    ("a = Pad (x, none) y = Relu (a)", ["Relu"]),
    ("s = Shape (x) n = Gather (s, first) k = Unsqueeze (n, first) t = Concat <axis = 0> (k, rest) "
     "a = Reshape (x, t) y = Relu (a)", ["Reshape", "Relu"])])
def test_what_does_nothing_is_taken_out(rng: np.random.Generator, body: str, kept: list[str]) -> None:
    model = network(body, "float[2,4,9,9] x", zero=0.0, one=1.0, flat=np.array([2, -1]), other=np.array([2, 36, 9]),
                    square=np.array([2, 4, 9, 9]), none=np.zeros(8, np.int64), first=np.array(0),
                    rest=np.array([-1]))
    assert prepared(model, rng) == kept


def test_a_whole_network_is_folded(rng: np.random.Generator) -> None:
    model = convolutional(rng)
    made = model.clone()
    prepare(made)
    assert operators(made) == ["Conv", "Relu", "Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten",
                               "Gemm"]
    x = images(rng, 3)
    (expected,), (got,) = run(model, {"x": x}), run(made, {"x": x})
    np.testing.assert_allclose(got, expected, rtol=0, atol=LARGEST_DIFFERENCE * np.abs(expected).max())


def test_subgraphs_stay_whole(rng: np.random.Generator) -> None:
    body = """c = Conv (x, w) n = Mul (c, s)
              y = If (flag) <then_branch = g1 () => (float t) { t = Identity (n) },
                             else_branch = g2 () => (float e) { e = Neg (c) }>"""
    model = network(body, "float[N,4,9,9] x, bool flag", w=normal(rng, 6, 4, 3, 3), s=np.float32(2.0))
    made = model.clone()
    prepare(made)
    for flag in (True, False):
        feeds = {"x": normal(rng, 2, 4, 9, 9), "flag": np.array(flag)}
        np.testing.assert_allclose(run(made, feeds)[0], run(model, feeds)[0], rtol=1e-5, atol=1e-5)

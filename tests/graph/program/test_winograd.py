"""3 x 3 convolutions by Winograd's algorithm: sums by the definition in int64, and the interpreter's bits."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pytorch_quantization_c import graph

from ..networks import network, normal
from .same_bits import assert_same_bits

STEP, WEIGHT_STEP = 2.0 ** -3, 2.0 ** -7  # powers of two: results are multiples of their product
ZERO = 93


def convolution(weight: np.ndarray, pads: list[int]) -> onnx.ModelProto:
    """Codes of x, and a convolution of what they stand for, whose results show the integer sums."""
    numbers = {"s": np.float32(STEP), "z": np.uint8(ZERO), "t": np.float32(WEIGHT_STEP), "o": np.int8(0), "w": weight}
    nodes = [onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
             onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             onnx.helper.make_node("DequantizeLinear", ["w", "t", "o"], ["v"]),
             onnx.helper.make_node("Conv", ["d", "v"], ["y"], pads=pads)]
    value = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes, "convolution", [value("x", 1, ["N", weight.shape[1], "H", "W"])],
        [value("y", 1, ["N", weight.shape[0], "P", "Q"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in numbers.items()])
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)])


def sums(x: np.ndarray, weight: np.ndarray, pads: list[int]) -> np.ndarray:
    """The definition, on codes minus their zero point: what lies outside of the image is 0."""
    codes = np.clip(np.rint(x / STEP) + ZERO, 0, 255).astype(np.int64) - ZERO
    top, left, bottom, right = pads
    padded = np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.asarray(np.einsum("nchwyx,ocyx->nohw", windows, weight.astype(np.int64), optimize=True))


@pytest.mark.parametrize(("channels", "outputs", "height", "width", "pads", "images"), [
    (64, 64, 24, 28, [1, 1, 1, 1], 1), (48, 72, 23, 17, [1, 1, 1, 1], 2), (57, 40, 30, 22, [0, 2, 1, 0], 1),
    (96, 130, 9, 50, [2, 0, 0, 2], 3), (33, 64, 41, 19, [1, 1, 1, 1], 1)])
@pytest.mark.parametrize("extreme", [False, True])
def test_sums(rng: np.random.Generator, channels: int, outputs: int, height: int, width: int, pads: list[int],
              images: int, extreme: bool) -> None:
    shape = (images, channels, height, width)
    weight = rng.integers(-128, 128, (outputs, channels, 3, 3)).astype(np.int8)
    x = ((rng.integers(0, 256, shape) - ZERO) * STEP).astype(np.float32)
    if extreme:  # the largest sums there are
        x = np.where(rng.random(shape) < 0.5, np.float32(-1e3), np.float32(1e3))
        weight[0::3], weight[1::3] = 127, -128
    model = graph.load(convolution(weight, pads))
    session = graph.compile(model)
    assert "convolution" in [row.kernel for row in session.summary()]
    session.run(None, {"x": x})  # or the plan would be that of scalar code, which has no such steps
    (got,) = assert_same_bits(session, model, {"x": x})
    np.testing.assert_array_equal(got / np.float32(STEP * WEIGHT_STEP), sums(x, weight, pads))


SAME = "pads = [1, 1, 1, 1]"
FIRST = f"c = Conv (x, w)  r = Relu (c)  d = Conv <{SAME}> (r, k)"
FOLLOWING = f"{FIRST}  e = Relu (d)  f = Conv <{SAME}> (e, k)  y = Conv (f, n)"


@pytest.mark.parametrize(("body", "height", "width"), [
    (f"{FIRST}  s = Add (d, r)  y = Relu (s)", 18, 30),
    (f"{FIRST}  g = Sigmoid (d)  e = Mul (d, g)  y = Conv (e, n)", 18, 30),
    (f"{FIRST}  j = Concat <axis = 1> (d, r)  f = Conv <{SAME}> (j, m)  y = Conv (f, n)", 13, 21),
    (FOLLOWING, 13, 21),
    (FOLLOWING, 157, 99)])  # by bands of rows
def test_bits(rng: np.random.Generator, body: str, height: int, width: int) -> None:
    weights = {"w": normal(rng, 64, 3, 1, 1), "k": normal(rng, 64, 64, 3, 3), "n": normal(rng, 8, 64, 1, 1),
               "m": normal(rng, 64, 128, 3, 3)}
    used: dict[str, Any] = {name: value for name, value in weights.items() if f", {name})" in body}
    x = normal(rng, 1, 3, height, width)
    model = graph.quantize(network(body, "float[N,3,H,W] x", "float[N,C,P,Q] y", **used), [x], methods=())
    session = graph.compile(model)
    session.run(None, {"x": x})
    assert_same_bits(session, model, {"x": x}, counts=(2,))


def test_other_sizes(rng: np.random.Generator) -> None:
    """Plans of several sizes share the transformed weights."""
    weight = rng.integers(-128, 128, (64, 64, 3, 3)).astype(np.int8)
    session = graph.compile(graph.load(convolution(weight, [1, 1, 1, 1])))
    for height, width in ((24, 28), (31, 20), (6, 5), (24, 28)):
        x = ((rng.integers(0, 256, (1, 64, height, width)) - ZERO) * STEP).astype(np.float32)
        (got,) = session.run(None, {"x": x})
        np.testing.assert_array_equal(got / np.float32(STEP * WEIGHT_STEP), sums(x, weight, [1, 1, 1, 1]))

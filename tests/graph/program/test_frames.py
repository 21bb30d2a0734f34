"""Fourier transforms as convolutions of floats on one channel: against float64, and with the interpreter's bits."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import float_nn, graph

from ..networks import network, normal
from .same_bits import assert_same_bits

LARGEST = 3e-6  # difference from float64, of the largest sum of magnitudes


def exact(x: Any, weight: Any, stride: int, bias: Any = None) -> tuple[Any, Any]:
    """The convolution in float64, and the sums of its terms' magnitudes."""
    length = weight.shape[2]
    frames = np.stack([x[:, 0, at:at + length] for at in range(0, x.shape[2] - length + 1, stride)], 1)
    made = np.einsum("ntk,ok->not", frames.astype(np.float64), weight[:, 0].astype(np.float64))
    size = np.einsum("ntk,ok->not", np.abs(frames).astype(np.float64), np.abs(weight[:, 0]).astype(np.float64))
    return made if bias is None else made + bias[:, None], size


def magnitudes(rng: np.random.Generator, bias: bool = False) -> ir.Model:
    """Pad, transform, magnitude, a quantised convolution behind a function of it."""
    return network(f"""p = Pad <mode = "reflect"> (x, pads)  u = Unsqueeze (p, one)
                      f = Conv <strides = [8]> (u, basis{', b' if bias else ''})
                      re = Slice (f, s0, s9, one)  im = Slice (f, s9, s18, one)
                      r2 = Pow (re, two)  i2 = Pow (im, two)  s = Add (r2, i2)  m = Sqrt (s)
                      t = Sigmoid (m)  y = Conv <pads = [1, 1]> (t, w)""", "float[N,L] x", "float[N,5,T] y",
                   pads=np.array([0, 0, 0, 8]), one=np.array([1]), s0=np.array([0]), s9=np.array([9]),
                   s18=np.array([18]), two=np.float32(2), basis=normal(rng, 18, 1, 16), w=normal(rng, 5, 9, 3),
                   **({"b": normal(rng, 18)} if bias else {}))


@pytest.mark.parametrize(("outputs", "length", "size", "stride"), [
    (1, 1, 1, 1), (3, 5, 5, 2), (258, 256, 640, 128), (33, 7, 100, 1), (64, 31, 64, 40)])
def test_float_nn_against_float64(rng: np.random.Generator, outputs: int, length: int, size: int, stride: int) -> None:
    for count in (1, 3):
        x, weight, bias = normal(rng, count, 1, size), normal(rng, outputs, 1, length), normal(rng, outputs)
        wanted, most = exact(x, weight, stride, bias)
        found = float_nn.functional.conv1d(x, weight, bias, stride)
        assert found.shape == wanted.shape and found.flags.c_contiguous
        assert (np.abs(found - wanted) <= LARGEST * (most + np.abs(bias)[:, None])).all()


@pytest.mark.parametrize("bias", [False, True])
def test_programs(rng: np.random.Generator, tmp_path: Path, bias: bool) -> None:
    model = magnitudes(rng, bias)
    int8 = graph.quantize(model, [normal(rng, 2, 64)], methods=())
    session = graph.compile(int8)
    assert [row.name for row in session.summary() if row.kernel == "Python"] == []
    session.save(tmp_path / "f.pqc")
    saved = graph.load_session(tmp_path / "f.pqc")
    for count, size in ((1, 64), (3, 64), (2, 200), (1, 17)):
        feeds = {"x": normal(rng, count, size)}
        expected, = assert_same_bits(session, int8, feeds)
        assert saved.run(None, feeds)[0].tobytes() == expected.tobytes()


def test_floats_of_the_transform_go_out_as_well(rng: np.random.Generator) -> None:
    """The same value as an array, as floats of an image and as codes."""
    model = network("f = Conv <strides = [4]> (x, basis, b)  y = Conv (f, w)  z = Relu (f)", "float[N,1,L] x",
                    "float[N,5,T] y, float[N,6,T] f, float[N,6,T] z", basis=normal(rng, 6, 1, 8), b=normal(rng, 6),
                    w=normal(rng, 5, 6, 1))
    int8 = graph.quantize(model, [normal(rng, 2, 1, 40)], methods=(), exclude=("conv0",))
    x = normal(rng, 2, 1, 40)
    found = graph.compile(int8).run(None, {"x": x})
    assert [a.tobytes() for a in found] == [a.tobytes() for a in graph.interpret(int8, {"x": x})]
    wanted, most = exact(x, *(model.graph.initializers["basis"].const_value.numpy(), 4),
                         model.graph.initializers["b"].const_value.numpy())
    assert (np.abs(found[1] - wanted) <= LARGEST * (most + 4)).all()


@pytest.mark.parametrize("attributes", ["pads = [1, 1]", "dilations = [2]", 'auto_pad = "SAME_UPPER"'])
def test_other_convolutions_of_one_channel(rng: np.random.Generator, attributes: str) -> None:
    model = network(f"y = Conv <{attributes}> (x, basis)", "float[N,1,L] x", "float[N,6,T] y",
                    basis=normal(rng, 6, 1, 5))
    x = normal(rng, 2, 1, 40)
    found = graph.compile(model).run(None, {"x": x})[0]
    assert found.tobytes() == graph.interpret(model, {"x": x})[0].tobytes()


def test_a_traced_convolution_of_one_channel(rng: np.random.Generator) -> None:
    net = float_nn.Sequential(float_nn.Conv1d(1, 12, 9, stride=3), float_nn.ReLU(), float_nn.Conv1d(12, 4, 3)).eval()
    x = normal(rng, 2, 1, 90)
    model = graph.trace(net, x)
    session = graph.compile(model)
    for size in (90, 60):
        fresh = normal(rng, 2, 1, size)
        assert session.run(None, {session.get_inputs()[0].name: fresh})[0].tobytes() == net(fresh).tobytes()

"""Programs give the bits of the interpreter: on every instruction set, with any number of threads, in any batch."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.session import Session

from ..networks import network, normal
from .same_bits import assert_same_bits
from .zoo import ZOO

SETTINGS = [{}, {"residual": "u8"}, {"residual": "float"}, {"zero_point": False}]


def quantized(rng: np.random.Generator, name: str, **options: Any) -> tuple[ir.Model, tuple[int, ...]]:
    model, shape = ZOO[name](rng)
    return graph.quantize(model, [normal(rng, 2, *shape)], **options), shape


def only_in_c(session: Session, feeds: dict[str, Any]) -> list[Any]:
    """The outputs of the program itself; None would mean that the interpreter has to compute them."""
    found = session._program.run(feeds, session._outputs)
    assert found is not None
    return found


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ZOO)
def test_networks(rng: np.random.Generator, name: str, options: dict[str, Any]) -> None:
    model, shape = quantized(rng, name, **options)
    session = graph.compile(model)
    for batch in (1, 2, 3):
        feeds = {"x": normal(rng, batch, *shape) * 2}
        expected = graph.interpret(model, feeds)
        for found in (session.run(None, feeds), only_in_c(session, feeds)):
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
            assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in expected]


def test_residuals_of_8_bits_are_requantised_in_the_output_stage(rng: np.random.Generator) -> None:
    model, shape = quantized(rng, "resnet", residual="u8")
    session, feeds = graph.compile(model), {"x": normal(rng, 2, *shape) * 2}
    assert "chain" not in {row.kernel for row in session.summary()}
    assert_same_bits(session, model, feeds)


@pytest.mark.parametrize("zero_point", ["auto", False])
@pytest.mark.parametrize("residual", ["auto", "u8"])
def test_residuals_of_whole_panels(rng: np.random.Generator, residual: str, zero_point: Any) -> None:
    """Two panels of 64 channels, one and nine taps, codes of bytes alone and beside words; rows of taps on padding."""
    w = {"w1": normal(rng, 128, 64, 1, 1) / 8, "w2": normal(rng, 128, 64, 3, 3) / 24,
         "w3": normal(rng, 64, 128, 1, 1) / 12, "w4": normal(rng, 128, 64, 3, 3) / 24}
    body = """c = Conv (x, w1)  d = Conv <pads = [1, 1, 1, 1]> (x, w2)  s = Add (c, d)  r = Relu (s)  e = Conv (r, w3)
        f = Conv <pads = [1, 1, 1, 1]> (e, w4)  t = Add (f, r)  u = Relu (t)  y = Conv (u, w3)"""
    model = network(body, "float[N,64,H,W] x", "float[N,64,H,W] y", **w)
    int8 = graph.quantize(model, [normal(rng, 2, 64, 6, 7)], methods=(), residual=residual, zero_point=zero_point)
    session = graph.compile(int8)
    for batch, height, width in ((2, 6, 7), (1, 1, 5), (1, 3, 23)):
        assert_same_bits(session, int8, {"x": normal(rng, batch, 64, height, width) * 2})


@pytest.mark.parametrize("name", ZOO)
def test_instruction_sets_and_threads(rng: np.random.Generator, name: str) -> None:
    model, shape = quantized(rng, name)
    assert_same_bits(graph.compile(model), model, {"x": normal(rng, 2, *shape) * 2})


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "branches"])
def test_other_sizes_are_planned_on_the_spot(rng: np.random.Generator, name: str) -> None:
    model, shape = quantized(rng, name)
    session = graph.compile(model)
    for height, width in ((shape[1] + 4, shape[2]), (40, 9), (17, 64), shape[1:]):
        feeds = {"x": normal(rng, 1, shape[0], height, width)}
        expected = graph.interpret(model, feeds)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(only_in_c(session, feeds), expected, strict=True))


def test_layers_and_what_follows_them_run_in_c(rng: np.random.Generator) -> None:
    model, _ = quantized(rng, "resnet")
    kernels = [row.kernel for row in graph.compile(model).summary()]
    assert kernels.count("convolution") == 8 and kernels.count("linear") == 1 and kernels.count("max pool") == 1
    names = [row.name for row in graph.compile(model).summary() if row.kernel == "Python"]
    assert len(names) <= 2  # the mean and Flatten


def test_clamps_of_maxima_and_rows_of_images_run_in_c(rng: np.random.Generator) -> None:
    """Codes are clamped before their maxima are taken; behind Flatten a layer takes a pixel's channels together."""
    model, _ = quantized(rng, "lenet")
    assert [row.kernel for row in graph.compile(model).summary()] == [
        "import", "convolution", "max pool", "convolution", "max pool", "flatten", "linear", "linear"]

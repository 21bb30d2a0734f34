"""Pools in programs: against NumPy, and the bits of the interpreter on every instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph

from ..networks import network, normal
from .same_bits import assert_same_bits
from .test_bits import only_in_c

CASES = {
    "2x2": "AveragePool <kernel_shape = [2, 2], strides = [2, 2]>",
    "padded": "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>",
    "without padding": "AveragePool <kernel_shape = [3, 2], pads = [1, 1, 2, 0], strides = [2, 1]>",
    "ceil": "AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>",
    "same": 'AveragePool <kernel_shape = [4, 3], strides = [2, 3], auto_pad = "SAME_LOWER">',
    "wide": "AveragePool <kernel_shape = [2, 7], pads = [1, 3, 0, 3]>",
    "more taps than in a sum": "AveragePool <kernel_shape = [3, 8], pads = [1, 4, 1, 3], count_include_pad = 1>",
    "dilated": "AveragePool <kernel_shape = [3, 2], dilations = [2, 3]>",
    "max": "MaxPool <kernel_shape = [3, 2], pads = [1, 0, 1, 1], strides = [2, 1]>",
    "max, dilated": "MaxPool <kernel_shape = [2, 3], dilations = [3, 2], strides = [1, 2], ceil_mode = 1>",
    "max, tall": "MaxPool <kernel_shape = [5, 1], pads = [2, 0, 2, 0]>",
}


def pooled(rng: np.random.Generator, pool: str, channels: int, after: str = "Relu") -> ir.Model:
    """A convolution, a pool of its output, and a convolution of that; the pool's output is one of the model as well."""
    w = {"w1": normal(rng, channels, 3, 3, 3) / 4, "b1": normal(rng, channels), "w2": normal(rng, 6, channels, 1, 1)}
    body = f"c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)  r = {after} (c)  p = {pool} (r)  y = Conv (p, w2)"
    return network(body, "float[N,3,H,W] x", f"float[N,6,P,Q] y, float[N,{channels},P,Q] p", **w)


def assert_same(model: ir.Model, x: Any) -> None:
    session, feeds = graph.compile(model), {"x": x}
    assert_same_bits(session, model, feeds, counts=(1, 3))


@pytest.mark.parametrize("case", CASES)
def test_windows(rng: np.random.Generator, case: str) -> None:
    for channels, after in ((5, "Relu"), (70, "Neg")):
        model = graph.quantize(pooled(rng, CASES[case], channels, after), [normal(rng, 2, 3, 12, 11)])
        kernels = [row.kernel for row in graph.compile(model).summary()]
        assert "Python" not in kernels and ("max pool" if "max" in case else "average") in kernels
        assert_same(model, normal(rng, 2, 3, 11, 14))


@pytest.mark.parametrize("case", [case for case in CASES if "max" in case])
def test_maxima_of_floats_are_numpys(rng: np.random.Generator, case: str) -> None:
    """Zeros of both signs among them, more channels than are computed at a time, and other codes made of them."""
    negative_zeros = 0
    for channels in (1, 5, 300):
        w = {"w1": normal(rng, channels, 3, 3, 3) / 4, "w2": normal(rng, channels, 3, 3, 3) / 4,
             "w3": normal(rng, 4, channels, 1, 1)}
        body = f"""c = Conv (x, w1)  r = Relu (c)  d = Conv (x, w2)  m = Mul (r, d)  p = {CASES[case]} (m)
                   y = Conv (p, w3)  z = Sigmoid (p)"""
        outputs = f"float[N,4,P,Q] y, float[N,{channels},P,Q] z, float[N,{channels},P,Q] p"
        model = graph.quantize(network(body, "float[N,3,H,W] x", outputs, **w), [normal(rng, 2, 3, 12, 11)])
        assert "Python" not in [row.kernel for row in graph.compile(model).summary()]
        x = normal(rng, 2, 3, 13, 12)
        assert_same(model, x)
        p = graph.interpret(model, {"x": x})[2]
        negative_zeros += np.count_nonzero(np.signbit(p) & (p == 0))
    assert negative_zeros


@pytest.mark.parametrize("mean", ["GlobalAveragePool", "ReduceMean <axes = [2, 3]>"])
def test_means_and_the_rows_made_of_them(rng: np.random.Generator, mean: str) -> None:
    w = {"w1": normal(rng, 37, 3, 3, 3) / 4, "b1": normal(rng, 37), "w2": normal(rng, 5, 37)}
    body = f"""c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)  r = Relu (c)  p = {mean} (r)  f = Flatten (p)
               y = Gemm <transB = 1> (f, w2)"""
    model = network(body, "float[N,3,H,W] x", "float[N,5] y", opset=13, **w)
    int8 = graph.quantize(model, [normal(rng, 2, 3, 9, 9)])
    kernels = [row.kernel for row in graph.compile(int8).summary()]
    assert kernels.count("average") == kernels.count("flatten") == 1 and "Python" not in kernels
    for size in ((1, 1), (2, 3), (3, 5), (9, 9), (12, 11), (40, 37)):
        assert_same(int8, normal(rng, 2, 3, *size))


def test_the_order_of_a_mean_is_numpys(rng: np.random.Generator) -> None:
    """A convolution by the identity, whose floats the mean reads: as arrays of NumPy."""
    w = {"w1": np.eye(18, dtype=np.float32)[..., None, None]}
    body = "c = Conv (x, w1)  r = Relu (c)  y = GlobalAveragePool (r)"
    model = network(body, "float[N,18,H,W] x", "float[N,18,1,1] y, float[N,18,H,W] r", **w)
    int8 = graph.quantize(model, [normal(rng, 2, 18, 9, 9)])
    for size in ((1, 7), (3, 3), (9, 14), (16, 8), (43, 3), (16, 17), (31, 33)):
        y, r = only_in_c(graph.compile(int8), {"x": normal(rng, 2, 18, *size)})
        assert np.array_equal(y[..., 0, 0], r.reshape(2, 18, -1).mean(axis=-1))

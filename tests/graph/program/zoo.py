"""Networks of the usual kinds with random weights, small, for programs."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from ..networks import network, normal

__all__ = ["ZOO", "Make"]

Make = Callable[[np.random.Generator], tuple[ir.Model, tuple[int, ...]]]
Constants = dict[str, Any]


def _conv(rng: np.random.Generator, number: int, out: int, inputs: int, kernel: int = 1) -> Constants:
    scale = np.float32(1.5 / np.sqrt(inputs * kernel * kernel))
    return {f"w{number}": normal(rng, out, inputs, kernel, kernel) * scale, f"b{number}": normal(rng, out)}


def lenet(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    body = """c1 = Conv (x, w1, b1)  p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c1)  r1 = Relu (p1)
              c2 = Conv (r1, w2, b2)  p2 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c2)  r2 = Relu (p2)
              f = Flatten (r2)  g1 = Gemm <transB = 1> (f, w3, b3)  r3 = Relu (g1)
              y = Gemm <transB = 1> (r3, w4, b4)"""
    w = {**_conv(rng, 1, 10, 1, 5), **_conv(rng, 2, 20, 10, 5), "w3": normal(rng, 50, 320) / 18, "b3": normal(rng, 50),
         "w4": normal(rng, 10, 50) / 7, "b4": normal(rng, 10)}
    return network(body, "float[N,1,28,28] x", "float[N,10] y", **w), (1, 28, 28)


def resnet(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Stem with a pool, one block with a downsampling convolution and one without."""
    body = """c1 = Conv <pads = [3, 3, 3, 3], strides = [2, 2]> (x, w1, b1)  r1 = Relu (c1)
              p = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r1)
              c2 = Conv (p, w2, b2)  r2 = Relu (c2)
              c3 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (r2, w3, b3)  r3 = Relu (c3)
              c4 = Conv (r3, w4, b4)  d = Conv <strides = [2, 2]> (p, w5, b5)  s1 = Add (c4, d)  r4 = Relu (s1)
              c6 = Conv (r4, w6, b6)  r6 = Relu (c6)  c7 = Conv <pads = [1, 1, 1, 1]> (r6, w7, b7)  r7 = Relu (c7)
              c8 = Conv (r7, w8, b8)  s2 = Add (c8, r4)  r8 = Relu (s2)
              g = GlobalAveragePool (r8)  f = Flatten (g)  y = Gemm <transB = 1> (f, w9, b9)"""
    w = {**_conv(rng, 1, 16, 3, 7), **_conv(rng, 2, 8, 16), **_conv(rng, 3, 8, 8, 3), **_conv(rng, 4, 70, 8),
         **_conv(rng, 5, 70, 16), **_conv(rng, 6, 12, 70), **_conv(rng, 7, 12, 12, 3), **_conv(rng, 8, 70, 12),
         "w9": normal(rng, 7, 70) / 8, "b9": normal(rng, 7)}
    return network(body, "float[N,3,H,W] x", "float[N,7] y", **w), (3, 37, 30)


def mobilenet(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Expansion, depthwise, projection; with strides, ReLU6 and a residual that no activation follows."""
    body = """c1 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)  r1 = Clip (c1, low, high)
              c2 = Conv (r1, w2, b2)  r2 = Clip (c2, low, high)
              c3 = Conv <pads = [1, 1, 1, 1], group = 24> (r2, w3, b3)  r3 = Clip (c3, low, high)
              c4 = Conv (r3, w4, b4)  s = Add (r1, c4)
              c5 = Conv (s, w5, b5)  r5 = Clip (c5, low, high)
              c6 = Conv <pads = [2, 2, 2, 2], strides = [2, 2], group = 20> (r5, w6, b6)  r6 = Relu (c6)
              y = Conv (r6, w7, b7)"""
    w = {**_conv(rng, 1, 8, 3, 3), **_conv(rng, 2, 24, 8), **_conv(rng, 3, 24, 1, 3), **_conv(rng, 4, 8, 24),
         **_conv(rng, 5, 20, 8), **_conv(rng, 6, 20, 1, 5), **_conv(rng, 7, 11, 20), "low": np.float32(0),
         "high": np.float32(6)}
    return network(body, "float[N,3,H,W] x", "float[N,11,P,Q] y", **w), (3, 23, 27)


def branches(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Concatenation of four branches, one pooled; a value read by a convolution, a sum and an output."""
    body = """c0 = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)  r0 = Relu (c0)
              a = Conv (r0, w2, b2)  ar = Relu (a)
              b = Conv <pads = [0, 2, 2, 0]> (r0, w3, b3)  br = Relu (b)
              c = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (r0, w4, b4)  cr = Relu (c)
              d = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r0)
              k = Concat <axis = 1> (ar, br, cr, d)
              y = Conv (k, w5, b5)  t = Add (y, r0)  z = Sigmoid (t)"""
    w = {**_conv(rng, 1, 9, 4, 3), **_conv(rng, 2, 5, 9), **_conv(rng, 3, 6, 9, 3), **_conv(rng, 4, 7, 9, 3),
         **_conv(rng, 5, 9, 27)}
    outputs = "float[N,9,H,W] y, float[N,9,H,W] z, float[N,9,H,W] r0"
    return network(body, "float[N,4,H,W] x", outputs, **w), (4, 11, 13)


def swish(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """HardSwish behind convolutions, behind a ReLU, in front of a sum, and behind one."""
    body = """c1 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)  r1 = HardSwish (c1)
              c2 = Conv <pads = [1, 1, 1, 1], group = 19> (r1, w2, b2)  r2 = Relu (c2)  h2 = HardSwish (r2)
              c3 = Conv (h2, w3, b3)  h3 = HardSwish (c3)  s = Add (h3, r1)  h4 = HardSwish (s)
              y = Conv (h4, w4, b4)"""
    w = {**_conv(rng, 1, 19, 3, 3), **_conv(rng, 2, 19, 1, 3), **_conv(rng, 3, 19, 19), **_conv(rng, 4, 6, 19)}
    return network(body, "float[N,3,H,W] x", "float[N,6,P,Q] y", **w), (3, 15, 22)


def squeeze(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Squeeze and excitation with SiLU: Python between the calls of C."""
    body = """c1 = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w1, b1)  g1 = Sigmoid (c1)  r1 = Mul (c1, g1)
              p = GlobalAveragePool (r1)  c2 = Conv (p, w2, b2)  r2 = Relu (c2)  c3 = Conv (r2, w3, b3)
              g3 = Sigmoid (c3)  m = Mul (r1, g3)  y = Conv <auto_pad = "SAME_LOWER"> (m, w4, b4)"""
    w = {**_conv(rng, 1, 12, 3, 3), **_conv(rng, 2, 3, 12), **_conv(rng, 3, 12, 3), **_conv(rng, 4, 10, 12, 4)}
    return network(body, "float[N,3,H,W] x", "float[N,10,P,Q] y", **w), (3, 14, 19)


def groups(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Groups of three channels, a multiplier, a rectangular kernel, windows larger than the padded rest."""
    body = """a = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w1, b1)  ar = Relu (a)
              b = Conv <group = 8, pads = [1, 0, 1, 2], strides = [1, 2]> (ar, w2, b2)
              c = Conv <pads = [0, 1, 0, 1], dilations = [1, 2]> (b, w3, b3)
              d = MaxPool <kernel_shape = [2, 3], strides = [2, 2], ceil_mode = 1> (c)
              y = Conv (d, w4)"""
    w = {**_conv(rng, 1, 8, 3, 3), **_conv(rng, 2, 16, 1, 3), "w3": normal(rng, 5, 16, 1, 3) / 7, "b3": normal(rng, 5),
         "w4": normal(rng, 66, 5, 1, 1)}
    return network(body, "float[N,12,H,W] x", "float[N,66,P,Q] y", **w), (12, 9, 16)


def linear(rng: np.random.Generator) -> tuple[ir.Model, tuple[int, ...]]:
    """Products of rows in several axes, and one that is used twice."""
    body = """t = MatMul (x, w1)  h = Add (t, b1)  r = Relu (h)  u = MatMul (r, w2)  y = Add (u, x)"""
    w = {"w1": normal(rng, 18, 40), "b1": normal(rng, 40), "w2": normal(rng, 40, 18)}
    return network(body, "float[N,5,18] x", "float[N,5,18] y", **w), (5, 18)


MAKERS: list[Make] = [lenet, resnet, mobilenet, branches, swish, squeeze, groups, linear]
ZOO: dict[str, Make] = {make.__name__: make for make in MAKERS}

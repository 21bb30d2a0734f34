"""A network and the batches that the workers make for themselves; some fit badly."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from tests.graph.networks import convolutional, images, network, normal

COUNT = 18


def residual() -> ir.Model:
    return convolutional(np.random.default_rng(0))


def batch(number: int) -> Any:
    """One to five images of different ranges, one of them all zeros; 48 altogether, and 96 with two times COUNT."""
    rng = np.random.default_rng(number)
    return images(rng, 1 + number % 5) * np.float32([0.1, 1, 8, 0][number % 4])


def two_inputs() -> ir.Model:
    rng = np.random.default_rng(1)
    return network("a = Add (x, z) b = Sqrt (a) y = Conv (b, w)", "float[N,4,9,9] x, float[N,4,9,9] z",
                   w=normal(rng, 3, 4, 1, 1))


def named(number: int, bad: int = -1) -> dict[str, Any]:
    """A batch of two inputs by name; the square root of one of its values is NaN if it is the bad one."""
    rng = np.random.default_rng(number)
    x, z = (np.abs(normal(rng, 2, 4, 9, 9)) for _ in range(2))
    if number == bad:
        x[0, 0, 0, 0] = -100
    return {"x": x, "z": z}


def recurrent() -> ir.Model:
    """A linear layer on the states of an LSTM, time being axis 0."""
    rng = np.random.default_rng(2)
    return network("y, h, c = LSTM <hidden_size = 8> (x, w, r)  q = Squeeze (y, one)  z = MatMul (q, v)",
                   "float[T,N,4] x", "float[T,N,3] z", w=normal(rng, 1, 32, 4), r=normal(rng, 1, 32, 8),
                   v=normal(rng, 8, 3), one=np.array([1]))


def steps(number: int) -> dict[str, Any]:
    """40 steps of three sequences."""
    return {"x": normal(np.random.default_rng(number), 40, 3, 4)}

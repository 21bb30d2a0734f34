"""Inputs that correlate as those of real layers do, and the error of a layer's outputs on them."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def layer(rng: np.random.Generator, out: int = 24, columns: int = 64, rows: int = 512) -> tuple[Array, Array, Array]:
    """A weight (out, columns), inputs to calibrate and held-out ones (rows, columns), of a quarter as many sources."""
    mixing = rng.standard_normal((columns // 4, columns)) * rng.uniform(0.2, 2, columns)
    inputs = rng.standard_normal((2 * rows, columns // 4)) @ mixing + 0.2 * rng.standard_normal((2 * rows, columns))
    made = rng.standard_normal((out, columns)), inputs[:rows], inputs[rows:]
    return tuple(array.astype(np.float32) for array in made)  # type: ignore[return-value]


def error(rounded: Array, weight: Array, inputs: Array) -> float:
    """Sum of squares of what a layer's outputs are off by."""
    return float(np.square(inputs.astype(np.float64) @ (rounded.astype(np.float64) - weight).T).sum())

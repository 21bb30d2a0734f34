"""The layers that bench_layers.py measures, and the data they get."""
from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np


class Shape(NamedTuple):
    """A convolution (size > 0: of size x size images) or a linear layer (rows > 0)."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    size: int = 0
    stride: int = 1
    padding: int = 0
    groups: int = 1
    rows: int = 0

    def operations(self, batch: int) -> float:
        """Multiplications and additions of one call."""
        if self.rows:
            return 2.0 * self.rows * self.inputs * self.outputs
        out = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return 2.0 * batch * out * out * self.outputs * self.inputs // self.groups * self.kernel ** 2

    def data(self, batch: int) -> tuple[Any, Any, Any]:
        """Input, weight and bias, float32; they are not to be written to."""
        return drawn(self, batch)

    def draw(self, batch: int) -> tuple[Any, Any, Any]:
        rng = np.random.default_rng(len(self.name))
        shape = (self.rows, self.inputs) if self.rows else (batch, self.inputs, self.size, self.size)
        weight = (self.outputs, self.inputs) if self.rows else (self.outputs, self.inputs // self.groups,
                                                                self.kernel, self.kernel)
        return tuple(rng.standard_normal(each).astype(np.float32)  # type: ignore[return-value]
                     for each in (shape, weight, (self.outputs,)))

    def quantised(self, batch: int) -> tuple[Any, Any, Any, Any, Any]:
        """Input, step of the calibrated input, 8 bit weight, its step for each output channel, bias."""
        x, weight, bias = self.data(batch)
        steps = (np.abs(weight).reshape(len(weight), -1).max(1) / 127).astype(np.float32)
        values = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        return x, np.float32(np.abs(x).max() / 127), values, steps, bias

    def reference(self, batch: int) -> Any:
        """The layer in NumPy, float32."""
        return computed(self, batch)

    def compute(self, batch: int) -> Any:
        x, weight, bias = self.data(batch)
        if self.rows:
            return x @ weight.T + bias
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, [(0, 0), (0, 0), *[(self.padding, self.padding)] * 2]), (self.kernel, self.kernel), (2, 3),
        )[:, :, ::self.stride, ::self.stride]
        if self.groups > 1:
            assert self.groups == self.inputs == self.outputs, "depthwise, or not grouped"
            products = np.einsum("nchwij,cij->nchw", windows, weight[:, 0])
        else:
            products = np.moveaxis(np.tensordot(windows, weight, ([1, 4, 5], [1, 2, 3])), 3, 1).copy("C")
        return products + bias.reshape(-1, 1, 1)


# A peer asks for these several times.
drawn, computed = lru_cache(2)(Shape.draw), lru_cache(2)(Shape.compute)

CONVOLUTIONS = [
    Shape("stem 7x7/2 3-64@224", 3, 64, 7, 224, 2, 3),
    Shape("1x1 64-256@56", 64, 256, 1, 56),
    Shape("3x3 64-64@56", 64, 64, 3, 56, 1, 1),
    Shape("3x3/2 128-128@56", 128, 128, 3, 56, 2, 1),
    Shape("3x3 256-256@14", 256, 256, 3, 14, 1, 1),
    Shape("1x1 1024-256@14", 1024, 256, 1, 14),
    Shape("3x3 512-512@7", 512, 512, 3, 7, 1, 1),
    Shape("LeNet 5x5 1-6@28", 1, 6, 5, 28),
    Shape("LeNet 5x5 6-16@14", 6, 16, 5, 14),
    Shape("depthwise 3x3 144@56", 144, 144, 3, 56, 1, 1, 144),
    Shape("depthwise 3x3 576@14", 576, 576, 3, 14, 1, 1, 576),
]
LINEAR = [Shape(f"linear M{rows} {inputs}-{outputs}", inputs, outputs, rows=rows)
          for inputs, outputs in ((768, 768), (768, 3072), (3072, 768)) for rows in (1, 8, 128, 512)]
SMALL = [Shape("linear M1 64-64", 64, 64, rows=1)]


def shapes(batch: int) -> list[Shape]:
    """Those of a batch size; linear layers have their own numbers of rows and come with batch 1."""
    return CONVOLUTIONS + (LINEAR + SMALL if batch == 1 else [])

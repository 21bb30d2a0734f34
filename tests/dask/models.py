"""The model and the batches that the workers make for themselves."""
from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor


class Net(float_nn.Module):
    """Histograms of inputs, per tensor and per channel, and a maximum; a disabled quantiser is left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"))
        self.channels = nn.TensorQuantizer(QuantDescriptor(axis=1, calib_method="histogram"))
        self.largest = nn.TensorQuantizer(QuantDescriptor(axis=(1,)))
        self.off = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"), disabled=True)
        self.first._calibrator._num_bins = 1500     # becomes 2048

    def forward(self, x: Any) -> Any:
        return self.off(self.largest(self.channels(np.maximum(self.first(x), np.float32(-0.5)))))


def batch(number: int) -> Any:
    """Batches of very different ranges; one is all zeros."""
    rng = np.random.default_rng(number)
    x = rng.normal(size=(5 + number % 4, 3, 40)).astype(np.float32)
    return x * np.float32([0.01, 1, 30, 0][number % 4])


class Loader:
    """Batches by number."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[Any]:
        return map(batch, self.numbers)


class Killer:
    """Kills the worker that comes to its middle first; then behaves."""

    def __init__(self, numbers: range, marker: Path) -> None:
        self.numbers, self.marker = numbers, marker

    def __iter__(self) -> Iterator[Any]:
        for number in self.numbers:
            if number == self.numbers[len(self.numbers) // 2] and not self.marker.exists():
                self.marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch(number)



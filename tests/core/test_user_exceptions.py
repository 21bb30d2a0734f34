"""An exception that an argument's own code raises reaches the caller, whatever its type is."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.tensor_quant import QuantDescriptor

X = np.ones((1, 1, 4, 4), np.float32)


class Raises:
    """Raises in whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __index__(self) -> int:
        raise self.error

    def __float__(self) -> float:
        raise self.error

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error

    @property
    def dtype(self) -> Any:
        raise self.error


CALLS: dict[str, Callable[[Any], Any]] = {
    "axis": lambda bad: QuantDescriptor(8, axis=bad),
    "one of several axes": lambda bad: QuantDescriptor(8, axis=(0, bad)),
    "a size of an LSTM": lambda bad: float_nn.LSTM(bad, 3),
    "batch sizes": lambda bad: float_nn.LSTM(4, 3)(float_nn.utils.rnn.PackedSequence(X[0, 0], [bad])),
    "a size of a convolution": lambda bad: float_nn.Conv2d(1, 1, bad),
    "a window": lambda bad: F.max_pool2d(X, bad),
    "a dtype": lambda bad: float_nn.Linear(2, 2, dtype=bad),
    "a metric": lambda bad: pq.sensitivity(nn.QuantLinear(4, 3), metric=lambda model: bad),
    "a parameter": float_nn.Parameter,
}


@pytest.mark.parametrize("kind", [TypeError, ValueError, ZeroDivisionError])
@pytest.mark.parametrize("name", CALLS)
def test_it_reaches_the_caller(name: str, kind: type[Exception]) -> None:
    error = kind("its own")
    with pytest.raises(kind) as caught:
        CALLS[name](Raises(error))
    assert caught.value is error, caught.value

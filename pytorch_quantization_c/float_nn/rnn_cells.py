"""LSTMCell and GRUCell: one step each."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import functional as F
from . import init
from .checks import Array, ShapeError, factory, float_array, integer
from .functional.recurrent import State, States
from .module import Module
from .parameter import Parameter

__all__ = ["GRUCell", "LSTMCell"]


class _Cell(Module):
    """What both share: `_gates` rows of weights for each unit, `_parts` arrays of a state."""

    _mode: str
    _gates: int
    _parts: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = integer(input_size, "input_size", 0), integer(hidden_size, "hidden_size", 1)
        self.bias = bias
        kind, rows = factory(device, dtype), self._gates * hidden_size
        self.weight_ih = Parameter(np.empty((rows, input_size), kind))
        self.weight_hh = Parameter(np.empty((rows, hidden_size), kind))
        self.register_parameter("bias_ih", Parameter(np.empty(rows, kind)) if bias else None)
        self.register_parameter("bias_hh", Parameter(np.empty(rows, kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialises all parameters."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _opened(self, input: ArrayLike, hx: Any) -> tuple[Array, States, bool]:
        """The checked input and state, all with a batch dimension, and whether that was missing."""
        x = float_array(input, "input")
        if x.ndim not in (1, 2):
            raise ShapeError(f"{self._mode}: Expected input to be 1D or 2D, got {x.ndim}D instead")
        single = x.ndim == 1
        x = x[None] if single else x
        if x.shape[1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}")
        shape = (len(x), self.hidden_size)
        if hx is None:
            return x, (np.zeros(shape, x.dtype),) * self._parts, single
        if self._parts == 2 and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise TypeError(f"Expected `hx` to be a pair (h_0, c_0), got {type(hx).__name__}")
        given = {"hx[0]": hx[0], "hx[1]": hx[1]} if self._parts == 2 else {"hx": hx}
        states = {name: float_array(each, name) for name, each in given.items()}
        for name, state in states.items():
            if state.shape != (shape[1:] if single else shape):
                raise ShapeError(f"Expected {name} of shape {shape[1:] if single else shape}, got {state.shape}")
        return x, tuple(state.reshape(shape) for state in states.values()), single

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")


class LSTMCell(_Cell):
    """One step of an LSTM.

    Args:
        input_size, hidden_size: numbers in the input and in the state.
        bias: learn biases.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    _mode, _gates, _parts = "LSTMCell", 4, 2

    def forward(self, input: ArrayLike, hx: Any = None) -> State:
        """(N, input_size) and (hidden, cell) of (N, hidden_size), or all without N, to the new (hidden, cell)."""
        x, state, single = self._opened(input, hx)
        h, c = F.lstm_cell(x, (state[0], state[1]), self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return (h[0], c[0]) if single else (h, c)


class GRUCell(_Cell):
    """One step of a GRU.

    Args:
        input_size, hidden_size: numbers in the input and in the state.
        bias: learn biases.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    _mode, _gates, _parts = "GRUCell", 3, 1

    def forward(self, input: ArrayLike, hx: ArrayLike | None = None) -> Array:
        """(N, input_size) and a state (N, hidden_size), or both without N, to the new state."""
        x, state, single = self._opened(input, hx)
        h = F.gru_cell(x, state[0], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h[0] if single else h

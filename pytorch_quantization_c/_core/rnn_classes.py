"""The recurrent layers and cells by kind, for both fronts: their constructors, and how a cell is called."""
from __future__ import annotations

from typing import Any

from .host import A, HostModule
from .layer_rules import pop_quant_desc_in_kwargs
from .rnn_layers import CellRules, elman_mode

__all__ = ["ElmanCellRules", "ElmanRules", "GRUCellRules", "GRURules", "LSTMCellRules", "LSTMRules",
           "QuantGRUCellRules"]


class ElmanRules(HostModule):
    """Elman layers; keyword `nonlinearity`: "tanh" or "relu"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(elman_mode(kwargs.pop("nonlinearity", "tanh")), *args, **kwargs)


class LSTMRules(HostModule):
    """LSTM layers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRURules(HostModule):
    """GRU layers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)


class _OneState(CellRules[A]):
    """A cell of one state, which computes with floats."""

    def forward(self, input: A, hx: A | None = None) -> A:
        """The state (batch, hidden) after the input (batch, inputs) from the state `hx`, zeros if None."""
        return self._step(input, None if hx is None else (hx,))[0]


class ElmanCellRules(_OneState[A]):
    """An Elman cell."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        super().__init__()
        mode = elman_mode(nonlinearity)
        self.nonlinearity = nonlinearity
        self._make_parameters(mode, input_size, hidden_size, bias)


class GRUCellRules(_OneState[A]):
    """A GRU cell."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self._make_parameters("GRU", input_size, hidden_size, bias)


class QuantGRUCellRules(_OneState[A]):
    """A GRU cell with quantisers."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__()
        self._make_parameters("GRU", input_size, hidden_size, bias)
        self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def forward(self, input: A, hx: A | None = None) -> A:
        """The state (batch, hidden) after the input (batch, inputs) from the state `hx`, zeros if None."""
        return self._step(input, None if hx is None else (hx,), self._input_quantizer, self._weight_quantizer)[0]


class LSTMCellRules(CellRules[A]):
    """An LSTM cell with quantisers."""

    _mode = "LSTM"  # which objects pickled by the original lack

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__()
        self._make_parameters("LSTM", input_size, hidden_size, bias)
        self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def forward(self, input: A, hx: tuple[A, A] | None = None) -> tuple[A, A]:
        """The states (h, c), each (batch, hidden), after the input (batch, inputs) from the states `hx`."""
        h, c = self._step(input, hx, self._input_quantizer, self._weight_quantizer)
        return h, c

"""Recurrent layers with quantised products.

Input and hidden state share one amax, and the rows of their two weights share one each, because a machine
computes both products of a step as one. See `_core.rnn_rules` for the formulas.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import tensor_quant
from ..._arrays import float_array
from ..._core import rnn_layers as quant_rnn
from ..._core.rnn_classes import (
    ElmanCellRules,
    ElmanRules,
    GRUCellRules,
    GRURules,
    LSTMCellRules,
    LSTMRules,
    QuantGRUCellRules,
)
from ...float_nn import functional as F
from ...float_nn import init
from ...float_nn.functional.recurrent import lstm_gates
from ...float_nn.module import Module
from ...float_nn.parameter import Parameter
from . import _utils
from ._recurrent_integers import layer_on_integers

__all__ = ["LSTM", "LSTMCell", "QuantGRU", "QuantGRUCell", "QuantLSTM", "QuantLSTMCell"]

Array = NDArray[Any]


class _NumpyOps:
    """The operations that the recurrent rules need on NumPy arrays."""

    apart = False

    def cat(self, arrays: Sequence[Array], axis: int) -> Array:
        return np.concatenate(arrays, axis)

    def zeros(self, like: Array, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, like.dtype)

    def dropout(self, x: Array, p: float) -> Array:
        return F.dropout(x, p, True)

    lstm_gates = staticmethod(lstm_gates)
    linear, sigmoid = staticmethod(F.linear), staticmethod(F.sigmoid)
    tanh, relu = staticmethod(F.tanh), staticmethod(F.relu)


class _NumpyParameters(quant_rnn.RecurrentHost[Array]):
    """How parameters are made and filled."""

    _ops = _NumpyOps()

    def _as_array(self, value: Any, name: str) -> Array:
        return float_array(value, name)

    def _new_parameter(self, shape: tuple[int, ...]) -> Parameter:
        return Parameter(np.empty(shape, np.float32))

    def _fill_uniform(self, parameter: Parameter, bound: float) -> None:
        init.uniform_(parameter, -bound, bound)

    def _packed(self, output: Array, like: Any) -> Any:
        """Packed outputs, as the packed input came: a named tuple stays one."""
        return like._replace(data=output) if hasattr(like, "_replace") else (output, like[1])


class QuantRNNBase(quant_rnn.RecurrentRules[Array], _NumpyParameters, _utils.QuantMixin, Module):
    """Layers of recurrent cells whose products are quantised.

    Args:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        input_size, hidden_size: numbers of inputs and of units.
        num_layers: layers; each after the first takes the outputs of the one before.
        bias: whether there are biases.
        batch_first: arrays are (batch, time, ...) instead of (time, batch, ...).
        dropout: probability of zeroing an output between layers, in training.
        bidirectional: a second direction that runs backwards.
        proj_size: of an LSTM: hidden states are projected to this size; 0: they are not.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, one amax for the input and one per row
            for the weights. Each direction of each layer has its own quantisers: `_input_quantizers`,
            `_weight_quantizers`; projections have theirs: `_state_quantizers` of what is projected,
            `_projection_quantizers` of the weight, one amax per row.

    Raises:
        ValueError: `dropout` outside [0, 1], a `proj_size` not below `hidden_size`, a descriptor of real
            quantisation.
        TypeError: another keyword argument.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW

    @property
    def execution(self) -> str:
        """How the last call was computed: "int8", or "float: " and why some layer was not; "auto" before the first."""
        return str(vars(self).get("_execution", "auto"))

    def _run(self, packed: Any, batch_sizes: Sequence[int], initial: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        self.__dict__["_execution"] = "int8"  # unless a layer is not
        found: tuple[Any, tuple[Any, ...]] = super()._run(packed, batch_sizes, initial)
        return found

    def _whole_layer(self, directions: Any, x: Any, batch_sizes: Sequence[int], states: Any) -> Any:
        made = layer_on_integers(self, directions, x, batch_sizes, states)
        if isinstance(made, str):
            self.__dict__["_execution"] = f"float: {made}"
        return None if isinstance(made, str) else made


class QuantRNN(ElmanRules, QuantRNNBase):
    """Elman layers, quantised; keyword `nonlinearity`: "tanh" (default) or "relu". Arguments as `QuantRNNBase`."""


class QuantLSTM(LSTMRules, QuantRNNBase):
    """LSTM layers, quantised. Arguments as `QuantRNNBase`, without `mode`."""


class QuantGRU(GRURules, QuantRNNBase):
    """GRU layers, quantised. Arguments as `QuantRNNBase`, without `mode`."""


GRU = QuantGRU  # the original's name


class QuantRNNCellBase(quant_rnn.CellRules[Array], _NumpyParameters, _utils.QuantMixin, Module):
    """What the cells share: parameters, their initialisation and the checks of shapes."""

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW


class QuantRNNCell(ElmanCellRules[Array], QuantRNNCellBase):
    """An Elman cell. As in the original, it has no quantisers: it computes with floats."""


class QuantLSTMCell(LSTMCellRules[Array], QuantRNNCellBase):
    """An LSTM cell, quantised.

    Args:
        input_size, hidden_size, bias: numbers of inputs and of units, and whether there are biases.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, one amax for the input and one per row
            for the weights.
    """


class QuantGRUCell(QuantGRUCellRules[Array], QuantRNNCellBase):
    """A GRU cell, quantised.

    Args:
        input_size, hidden_size, bias: numbers of inputs and of units, and whether there are biases.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, one amax for the input and one per row
            for the weights.
    """


class GRUCell(GRUCellRules[Array], QuantRNNCellBase):
    """A GRU cell. As in the original, it has no quantisers: it computes with floats."""


LSTM = QuantLSTM
LSTMCell = QuantLSTMCell

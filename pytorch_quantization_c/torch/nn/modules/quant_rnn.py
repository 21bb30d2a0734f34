"""Recurrent layers with quantised products.

Input and hidden state share one amax, and the rows of their two weights share one each, because a machine
computes both products of a step as one. See `_core.rnn_rules` for the formulas.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter, init
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from ...._core import rnn_layers as quant_rnn
from ...._core.rnn_classes import (
    ElmanCellRules,
    ElmanRules,
    GRUCellRules,
    GRURules,
    LSTMCellRules,
    LSTMRules,
    QuantGRUCellRules,
)
from ... import tensor_quant
from . import _utils

__all__ = ["LSTM", "LSTMCell", "QuantGRU", "QuantGRUCell", "QuantLSTM", "QuantLSTMCell"]


class _TensorOps:
    """The operations that the recurrent rules need on tensors."""

    apart = True

    def cat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(tensors), axis)

    def zeros(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        return like.new_zeros(shape)

    def dropout(self, x: Tensor, p: float) -> Tensor:
        return F.dropout(x, p, True)

    def lstm_gates(self, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    linear, sigmoid = staticmethod(F.linear), staticmethod(torch.sigmoid)
    tanh, relu = staticmethod(torch.tanh), staticmethod(torch.relu)


class _TensorParameters(quant_rnn.RecurrentHost[Tensor]):
    """How parameters are made and filled."""

    _ops = _TensorOps()

    def _as_array(self, value: Any, name: str) -> Tensor:
        if not isinstance(value, Tensor):
            raise TypeError(f"Expected `{name}` to be a tensor, got {type(value).__name__}")
        return value

    def _new_parameter(self, shape: tuple[int, ...]) -> Parameter:
        return Parameter(torch.empty(shape))

    def _fill_uniform(self, parameter: Parameter, bound: float) -> None:
        init.uniform_(parameter, -bound, bound)

    def _packed(self, output: Tensor, like: Any) -> Any:
        """Packed outputs, as the packed input came."""
        return like._replace(data=output) if isinstance(like, PackedSequence) else (output, *like[1:])


class QuantRNNBase(quant_rnn.RecurrentRules[Tensor], _TensorParameters, _utils.QuantMixin, Module):
    """Layers of recurrent cells whose products are quantised.

    Arguments and errors are those of `pytorch_quantization_c.nn.modules.quant_rnn.QuantRNNBase`.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW


class QuantRNN(ElmanRules, QuantRNNBase):
    """Elman layers, quantised; keyword `nonlinearity`: "tanh" (default) or "relu". Arguments as `QuantRNNBase`."""


class QuantLSTM(LSTMRules, QuantRNNBase):
    """LSTM layers, quantised. Arguments as `QuantRNNBase`, without `mode`."""


class QuantGRU(GRURules, QuantRNNBase):
    """GRU layers, quantised. Arguments as `QuantRNNBase`, without `mode`."""


GRU = QuantGRU  # the original's name


class QuantRNNCellBase(quant_rnn.CellRules[Tensor], _TensorParameters, _utils.QuantMixin, Module):
    """What the cells share: parameters, their initialisation and the checks of shapes."""

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW


class QuantRNNCell(ElmanCellRules[Tensor], QuantRNNCellBase):
    """An Elman cell. As in the original, it has no quantisers: it computes with floats."""


class QuantLSTMCell(LSTMCellRules[Tensor], QuantRNNCellBase):
    """An LSTM cell, quantised. Arguments as `pytorch_quantization_c.nn.QuantLSTMCell`."""


class QuantGRUCell(QuantGRUCellRules[Tensor], QuantRNNCellBase):
    """A GRU cell, quantised. Arguments as `pytorch_quantization_c.nn.QuantGRUCell`."""


class GRUCell(GRUCellRules[Tensor], QuantRNNCellBase):
    """A GRU cell. As in the original, it has no quantisers: it computes with floats."""


LSTM = QuantLSTM
LSTMCell = QuantLSTMCell

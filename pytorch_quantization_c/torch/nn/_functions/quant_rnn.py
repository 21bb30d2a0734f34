"""Recurrent cells and layers as functions of their tensors, under the original's names. See `_core.rnn_rules`."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...._core.rnn_rules import CELLS, Direction, run_layers
from ..modules.quant_rnn import _TensorOps

__all__ = ["LSTMCell", "RNN"]

_ops = _TensorOps()


def LSTMCell(input: Tensor, hidden: tuple[Tensor, Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
             b_hh: Tensor | None = None, input_quantizer: Any = None,
             weight_quantizer: Any = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: the states (h, c), each (batch, hidden), after `input` (batch, inputs).

    Quantisers, or None for floats, take [input, h] and [w_ih, w_hh], each joined as one tensor.
    """
    direction = Direction(w_ih, w_hh, b_ih, b_hh, input_quantizer, weight_quantizer)
    h, c = CELLS["LSTM"](_ops, direction)(input, hidden)  # pyright: ignore
    return h, c


def _direction(tensors: Any, input_quantizer: Any, weight_quantizer: Any) -> Direction[Tensor]:
    """A direction from two weights and, unless the layer has none, two biases."""
    w_ih, w_hh, b_ih, b_hh = (*tensors, None, None)[:4]
    return Direction(w_ih, w_hh, b_ih, b_hh, input_quantizer, weight_quantizer)


def RNN(mode: str, input_size: int, hidden_size: int, num_layers: int = 1, batch_first: bool = False,
        dropout: float = 0, train: bool = True, bidirectional: bool = False, variable_length: bool = False,
        dropout_state: Any = None, flat_weight: Any = None) -> Callable[..., tuple[Tensor, Any]]:
    """A function that runs layers of cells.

    Args:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        input_size, hidden_size, dropout_state, flat_weight: ignored; the tensors say it.
        num_layers, batch_first, dropout, bidirectional: as for `torch.nn.LSTM`; dropout only with `train`.
        variable_length: inputs are packed: (sum of batch_sizes, inputs).

    Returns:
        forward(input, weight, hidden, batch_sizes, input_quantizers, weight_quantizers), where `weight` has a list of
        tensors for each direction of each layer. It returns the outputs and the final states, (h, c) for an LSTM.
    """
    if mode not in CELLS:
        raise ValueError(f"Expected `mode` to be one of {', '.join(CELLS)}, got {mode!r}")
    each_layer = 1 + bool(bidirectional)

    def forward(input: Tensor, weight: Any, hidden: Any, batch_sizes: Any, input_quantizers: Any = None,
                weight_quantizers: Any = None) -> tuple[Tensor, Any]:
        count = num_layers * each_layer
        quantizers = [[None] * count if given is None else given for given in (input_quantizers, weight_quantizers)]
        directions = [_direction(*each) for each in zip(weight, *quantizers, strict=True)]
        layers = [directions[start:start + each_layer] for start in range(0, count, each_layer)]
        steps = input if variable_length or not batch_first else input.transpose(0, 1)
        sizes = [int(size) for size in batch_sizes] if variable_length else [steps.shape[1]] * steps.shape[0]
        packed = steps if variable_length else steps.reshape(-1, steps.shape[-1])
        output, finals = run_layers(mode, _ops, layers, packed, sizes, hidden if mode == "LSTM" else (hidden,),  # pyright: ignore
                                    dropout if train else 0)
        if not variable_length:
            output = output.reshape(*steps.shape[:2], -1)
            output = output.transpose(0, 1) if batch_first else output
        states = tuple(_ops.cat(list(parts), 0).reshape(count, *parts[0].shape) for parts in zip(*finals, strict=True))
        return output, states if mode == "LSTM" else states[0]

    return forward

"""What a recurrent layer is made of: the LSTM's gates, one direction in time, a stack of layers."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ... import _C
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, same_floats
from .dropout import dropout

__all__ = ["lstm_cell", "lstm_gates", "scan", "stack_layers"]

State = tuple[Array, Array]
Step = Callable[[Array, State], State]
Layer = Callable[[int, Array], tuple[Array, Step]]


@traceable
def lstm_gates(gates: Array, cell: Array) -> State:
    """New (hidden, cell) of shape (..., H) from the sums (..., 4 H) for input, forget, cell and output gate.

    Hochreiter and Schmidhuber 1997 with forget gates: c' = f * c + i * g, h' = o * tanh(c').
    """
    size = gates.shape[-1] // 4
    opened = _C.sigmoid(gates)  # of the candidates too, unused: one call is faster than three
    new: Array = opened[..., size:2 * size] * cell
    new += opened[..., :size] * _C.tanh(gates[..., 2 * size:3 * size])
    return opened[..., 3 * size:] * _C.tanh(new), new


@traceable
def lstm_cell(input: ArrayLike, hx: tuple[ArrayLike, ArrayLike], w_ih: ArrayLike, w_hh: ArrayLike,
              b_ih: ArrayLike | None = None, b_hh: ArrayLike | None = None) -> State:
    """One step of an LSTM: the new (hidden, cell).

    Args:
        input: (N, input size).
        hx: hidden state and cell state, both (N, H).
        w_ih, w_hh: (4 H, input size) and (4 H, H); rows for input, forget, cell and output gate.
        b_ih, b_hh: (4 H), or both None.
    """
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        raise TypeError(f"Expected `hx` to be a pair (hidden, cell), got {type(hx).__name__}")
    (x, h, c, wi, wh, bi, bh), dtype = same_floats(input=input, hidden=hx[0], cell=hx[1], w_ih=w_ih, w_hh=w_hh,
                                                  b_ih=b_ih, b_hh=b_hh)
    if min(x.ndim, h.ndim, c.ndim) < 1:
        raise ShapeError(f"Expected `input`, hidden and cell of shape (N, size), got {x.shape}, {h.shape}, {c.shape}")
    if wi.shape != (4 * c.shape[-1], x.shape[-1]) or wh.shape != (4 * c.shape[-1], h.shape[-1]):
        raise ShapeError(f"Expected `w_ih` and `w_hh` for sizes {x.shape[-1]}, {h.shape[-1]} and {c.shape[-1]} of "
                         f"input, hidden and cell, got shapes {wi.shape} and {wh.shape}")
    gates = x @ wi.T + h @ wh.T
    for bias in (bi, bh):
        if bias is not None:
            gates += bias
    hidden, cell = lstm_gates(gates, c)
    return hidden.astype(dtype, copy=False), cell.astype(dtype, copy=False)


def scan(step: Step, inputs: Array, state: State, batch_sizes: Sequence[int] | None = None,
         reverse: bool = False) -> tuple[Array, State]:
    """Runs `step` over time: outputs (the hidden states) in the order of the inputs, and the last state.

    Args:
        step: takes the input of one moment and a state (hidden, cell), gives the new state.
        inputs: (T, N, ...), or with `batch_sizes` (sum of them, ...): the moments one after the other.
        state: hidden and cell, (N, ...) each.
        batch_sizes: how many sequences still run at each moment, longest sequence first; never growing.
        reverse: from the last moment to the first.
    """
    if batch_sizes is None:
        sizes = [inputs.shape[1]] * inputs.shape[0]
        inputs = inputs.reshape(-1, *inputs.shape[2:]) if inputs.size else inputs.reshape(sum(sizes), inputs.shape[-1])
    else:
        sizes = [int(size) for size in batch_sizes]
    ends = np.cumsum(sizes)
    hidden, cell = (np.array(each) for each in state)
    outputs = np.empty((len(inputs), *hidden.shape[1:]), hidden.dtype)
    for moment in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        size, end = sizes[moment], ends[moment]
        new = step(inputs[end - size:end], (hidden[:size], cell[:size]))
        hidden[:size], cell[:size] = new  # rows of sequences that are over, or not yet begun, keep their state
        outputs[end - size:end] = new[0]
    if batch_sizes is None:
        outputs = outputs.reshape(len(sizes), -1, *hidden.shape[1:]) if len(inputs) else \
            outputs.reshape(len(sizes), 0, *hidden.shape[1:])
    return outputs, (hidden, cell)


def stack_layers(layer: Layer, input: Array, state: State, bidirectional: bool = False,
                 batch_sizes: Sequence[int] | None = None, drop: float = 0.0,
                 training: bool = False) -> tuple[Array, State]:
    """Runs a stack of recurrent layers: outputs of the last one, and all last states.

    Args:
        layer: takes the number of a layer (of a direction: 0, 1, 2, ...) and its inputs; gives what is to be fed to
            its step, moment by moment, and the step. It may prepare for all moments at once.
        input: (T, N, size), or (sum of `batch_sizes`, size).
        state: hidden and cell, (layers * directions, N, ...) each.
        bidirectional: each layer is two, one in each direction, whose outputs are joined along the last axis.
        batch_sizes: see `scan`.
        drop: probability with which outputs of all layers but the last are zeroed while training.
    """
    directions = 2 if bidirectional else 1
    last: list[State] = []
    for number in range(0, len(state[0]), directions):
        if number:
            input = dropout(input, drop, training)
        outputs = []
        for index in range(number, number + directions):
            prepared, step = layer(index, input)
            output, final = scan(step, prepared, (state[0][index], state[1][index]), batch_sizes, index > number)
            outputs.append(output)
            last.append(final)
        input = outputs[0] if directions == 1 else np.concatenate(outputs, axis=-1)
    return input, (np.stack([hidden for hidden, _ in last]), np.stack([cell for _, cell in last]))

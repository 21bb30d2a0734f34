"""The parts of a recurrent layer: gates, one direction in time, a stack of layers; whole layers in C."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ... import _C
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, same_floats
from .activation import sigmoid, tanh
from .dropout import dropout
from .linear import linear

__all__ = ["Remembered", "gru_cell", "gru_gates", "lstm_cell", "lstm_gates", "run_in_c", "scan", "stack_layers"]

State = tuple[Array, Array]
States = tuple[Array, ...]
Step = Callable[[Array, States], States]
Layer = Callable[[int, Array], tuple[Array, Step]]
T = TypeVar("T")


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


def gru_gates(input: Array, hidden: Array, state: Array) -> Array:
    """The new state (..., H) from the sums (..., 3 H) of input and of state for reset and update gate and candidate.

    Cho et al. 2014, torch's variant: n = tanh(x + r * u), h' = n + z * (h - n).
    """
    size = state.shape[-1]
    opened = sigmoid(input[..., :2 * size] + hidden[..., :2 * size])
    new: Array = tanh(input[..., 2 * size:] + opened[..., :size] * hidden[..., 2 * size:])
    new += opened[..., size:] * (state - new)
    return new


@traceable
def gru_cell(input: ArrayLike, hx: ArrayLike, w_ih: ArrayLike, w_hh: ArrayLike, b_ih: ArrayLike | None = None,
             b_hh: ArrayLike | None = None) -> Array:
    """One step of a GRU: the new state.

    Args:
        input: (N, input size).
        hx: state (N, H).
        w_ih, w_hh: (3 H, input size) and (3 H, H); rows for reset and update gate and candidate.
        b_ih, b_hh: (3 H), or both None.
    """
    (x, h, wi, wh, bi, bh), dtype = same_floats(input=input, hx=hx, w_ih=w_ih, w_hh=w_hh, b_ih=b_ih, b_hh=b_hh)
    if min(x.ndim, h.ndim) < 1:
        raise ShapeError(f"Expected `input` and `hx` of shape (N, size), got {x.shape} and {h.shape}")
    if wi.shape != (3 * h.shape[-1], x.shape[-1]) or wh.shape != (3 * h.shape[-1], h.shape[-1]):
        raise ShapeError(f"Expected `w_ih` and `w_hh` for sizes {x.shape[-1]} and {h.shape[-1]} of `input` and `hx`, "
                         f"got shapes {wi.shape} and {wh.shape}")
    return gru_gates(linear(x, wi, bi), linear(h, wh, bh), h).astype(dtype, copy=False)


def scan(step: Step, inputs: Array, state: States, batch_sizes: Sequence[int] | None = None,
         reverse: bool = False) -> tuple[Array, States]:
    """Runs `step` over time: outputs (the hidden states) in the order of the inputs, and the last state.

    Args:
        step: takes the input of one moment and a state, (hidden, cell) or (hidden,), gives the new state.
        inputs: (T, N, ...), or with `batch_sizes` (sum of them, ...): the moments one after the other.
        state: of arrays (N, ...).
        batch_sizes: how many sequences still run at each moment, longest sequence first; never growing.
        reverse: from the last moment to the first.
    """
    if batch_sizes is None:
        sizes = [inputs.shape[1]] * inputs.shape[0]
        inputs = inputs.reshape(-1, *inputs.shape[2:]) if inputs.size else inputs.reshape(sum(sizes), inputs.shape[-1])
    else:
        sizes = [int(size) for size in batch_sizes]
    ends = np.cumsum(sizes)
    states = tuple(np.array(each) for each in state)
    hidden = states[0]
    outputs = np.empty((len(inputs), *hidden.shape[1:]), hidden.dtype)
    for moment in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        size, end = sizes[moment], ends[moment]
        new = step(inputs[end - size:end], tuple(each[:size] for each in states))
        for each, value in zip(states, new, strict=True):
            each[:size] = value  # rows of sequences that are over, or not yet begun, keep their state
        outputs[end - size:end] = new[0]
    if batch_sizes is None:
        outputs = outputs.reshape(len(sizes), -1, *hidden.shape[1:]) if len(inputs) else \
            outputs.reshape(len(sizes), 0, *hidden.shape[1:])
    return outputs, states


def stack_layers(layer: Layer, input: Array, state: States, bidirectional: bool = False,
                 batch_sizes: Sequence[int] | None = None, drop: float = 0.0,
                 training: bool = False) -> tuple[Array, States]:
    """Runs a stack of recurrent layers: outputs of the last one, and all last states.

    Args:
        layer: takes the number of a layer (of a direction: 0, 1, 2, ...) and its inputs; gives what is to be fed to
            its step, moment by moment, and the step. It may prepare for all moments at once.
        input: (T, N, size), or (sum of `batch_sizes`, size).
        state: of arrays (layers * directions, N, ...).
        bidirectional: each layer is two, one in each direction, whose outputs are joined along the last axis.
        batch_sizes: see `scan`.
        drop: probability with which outputs of all layers but the last are zeroed while training.
    """
    directions = 2 if bidirectional else 1
    last: list[States] = []
    for number in range(0, len(state[0]), directions):
        if number:
            input = dropout(input, drop, training)
        outputs = []
        for index in range(number, number + directions):
            prepared, step = layer(index, input)
            output, final = scan(step, prepared, tuple(each[index] for each in state), batch_sizes, index > number)
            outputs.append(output)
            last.append(final)
        input = outputs[0] if directions == 1 else np.concatenate(outputs, axis=-1)
    return input, tuple(np.stack(parts) for parts in zip(*last, strict=True))


class Remembered(Generic[T]):
    """A cached result, valid while the arrays it was made of are proved unchanged."""

    def __init__(self) -> None:
        self._last: tuple[object, T] | None = None

    def __call__(self, arrays: Sequence[Array], make: Callable[[], T]) -> T:
        """`make()`, or what it returned for arrays of the same contents."""
        key = tuple((_C.fingerprint(np.ascontiguousarray(each)), each.shape, each.dtype) for each in arrays)
        last = self._last
        if last is None or last[0] != key:
            last = self._last = key, make()
        return last[1]


class Packed(NamedTuple):
    """The weights of a layer: of the input, all directions in one matrix; the others as `_C.recurrent` has them."""

    input: Array
    states: list[Array]
    projections: list[Array]


def run_in_c(kind: str, x: Array, weights: Sequence[tuple[Array, Array]], biases: Sequence[tuple[Array, Array] | None],
             state: States, batch_sizes: Sequence[int] | None, known: Remembered[Packed],
             projections: Sequence[Array] = ()) -> tuple[Array, States]:
    """One layer of float32, both directions: outputs (sum of batch sizes, directions * state), and the last states.

    Args:
        kind: "LSTM" or "GRU".
        x: (sum of batch sizes, size).
        weights: w_ih and w_hh of each direction; biases: likewise, or None.
        state: of arrays (directions, N, hidden).
        batch_sizes: see `scan`; None: N at each moment.
        known: of this layer's last call.
        projections: w_hr of each direction of an LSTM, or none.
    """
    def packed() -> Packed:
        return Packed(np.concatenate([w_ih for w_ih, _ in weights]),
                      [_C.float_panels(np.ascontiguousarray(w_hh)) for _, w_hh in weights],
                      [_C.float_panels(np.ascontiguousarray(w_hr)) for w_hr in projections])

    made = known([*(each for pair in weights for each in pair), *projections], packed)
    first = [None if pair is None else pair[0] + pair[1] if kind == "LSTM" else pair[0] for pair in biases]
    ahead_bias = None if first[0] is None else np.concatenate([each for each in first if each is not None])
    products = [(panels, None, None if pair is None or kind == "LSTM" else np.ascontiguousarray(pair[1]))
                for panels, pair in zip(made.states, biases, strict=True)]
    if projections:
        kind = "LSTM_PROJECTED"
        products = [each for product, panels in zip(products, made.projections, strict=True)
                    for each in (product, (panels, None, None))]
    h, c = (np.ascontiguousarray(state[0]), None if kind == "GRU" else np.ascontiguousarray(state[1]))
    sizes = None if batch_sizes is None else np.array(batch_sizes, np.int64)
    ahead = np.asarray(linear(x, made.input, ahead_bias))
    found = _C.recurrent(kind, ahead, tuple(products), h, c, sizes, False, False)
    assert not isinstance(found, str)  # floats give none
    return found[0], found[1:]

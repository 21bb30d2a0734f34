"""Recurrent layers with quantised products, for arrays of any host.

At each step the input and the hidden state are joined and quantised as one array, with one amax; so are the two weights
of a layer, with one amax per row (one row is one gate of one unit). LSTM: Hochreiter and Schmidhuber 1997, its gates in
torch's order (input, forget, cell, output), with the projections of Sak et al. 2014, whose product is quantised by
itself; GRU: Cho et al. 2014, torch's variant.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic, Protocol

from .host import A

__all__ = ["CELLS", "GATES", "ArrayOps", "Cell", "Direction", "run_layers"]


class ArrayOps(Protocol[A]):
    """The few array operations that a host provides, with torch's names and arguments.

    `lstm_gates` makes the new (h, c) of the sums for the four gates, side by side, and c. With `apart` the products of
    input and hidden state are made one by one, for the last digits of torch's own layers, else as one.
    """

    apart: bool

    def cat(self, arrays: Sequence[A], axis: int, /) -> A: ...
    def zeros(self, like: A, shape: tuple[int, ...], /) -> A: ...
    def linear(self, x: A, weight: A, bias: A | None, /) -> A: ...
    def sigmoid(self, x: A, /) -> A: ...
    def tanh(self, x: A, /) -> A: ...
    def relu(self, x: A, /) -> A: ...
    def dropout(self, x: A, p: float, /) -> A: ...
    def lstm_gates(self, gates: A, cell: A, /) -> tuple[A, A]: ...


Quantizer = Callable[[A], A]
State = tuple[A, ...]  # (h, c) of an LSTM, (h,) of all others


@dataclass(frozen=True)
class Direction(Generic[A]):
    """One direction of one layer: its arrays (None without biases) and its quantisers (None: floats).

    `weight_hr` projects the hidden state of an LSTM, and has quantisers of its own.
    """

    weight_ih: A
    weight_hh: A
    bias_ih: A | None = None
    bias_hh: A | None = None
    input_quantizer: Quantizer[A] | None = None
    weight_quantizer: Quantizer[A] | None = None
    weight_hr: A | None = None
    state_quantizer: Quantizer[A] | None = None
    projection_quantizer: Quantizer[A] | None = None

    @property
    def arrays(self) -> tuple[A | None, ...]:
        """All weights and biases."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_hr


Whole = Callable[[Sequence[Direction[A]], A, Sequence[int], Sequence[State[A]]], "tuple[A, list[State[A]]] | None"]


class Cell(Generic[A]):
    """One step of one direction. Weights are quantised once for a whole sequence, unless statistics are collected."""

    def __init__(self, ops: ArrayOps[A], direction: Direction[A]) -> None:
        self.ops, self.direction = ops, direction
        self.inputs = direction.weight_ih.shape[1]
        self.collects = bool(getattr(direction.weight_quantizer, "_if_calib", False))
        self.weight = None if self.collects else self.quantized_weight()
        of_x, of_h = direction.bias_ih, direction.bias_hh
        self.bias = None if of_x is None or of_h is None else of_x + of_h

    def quantized_weight(self) -> A:
        """[weight_ih, weight_hh], quantised as one."""
        joined = self.ops.cat([self.direction.weight_ih, self.direction.weight_hh], 1)
        quantizer = self.direction.weight_quantizer
        return joined if quantizer is None else quantizer(joined)

    def quantized_input(self, x: A, h: A) -> A:
        """[x, h], quantised as one."""
        joined = self.ops.cat([x, h], 1)
        quantizer = self.direction.input_quantizer
        return joined if quantizer is None else quantizer(joined)

    def __call__(self, x: A, state: State[A]) -> State[A]:
        """The state after the input `x` (batch, inputs)."""
        joined = self.quantized_input(x, state[0])
        return self.step(joined, self.quantized_weight() if self.weight is None else self.weight, state)

    def step(self, joined: A, weight: A, state: State[A]) -> State[A]:
        """The state after a step, by the quantised arrays."""
        return (self.activation(self.sums(joined, weight)),)

    def products(self, joined: A, weight: A) -> tuple[A, A]:
        """The products of the input and of the hidden state, each with its bias."""
        n, direction = self.inputs, self.direction
        return (self.ops.linear(joined[:, :n], weight[:, :n], direction.bias_ih),
                self.ops.linear(joined[:, n:], weight[:, n:], direction.bias_hh))

    def sums(self, joined: A, weight: A) -> A:
        """The sum of both products."""
        if not self.ops.apart:
            return self.ops.linear(joined, weight, self.bias)
        of_x, of_h = self.products(joined, weight)
        return of_x + of_h

    def activation(self, x: A) -> A:
        """The nonlinearity of a plain recurrent cell."""
        return self.ops.tanh(x)


class ReluCell(Cell[A]):
    """A plain recurrent cell with relu."""

    def activation(self, x: A) -> A:
        """max(x, 0)."""
        return self.ops.relu(x)


class LSTMStep(Cell[A]):
    """c' = f * c + i * g; h' = o * tanh(c'), or W_hr (o * tanh(c')) where there are projections."""

    def __init__(self, ops: ArrayOps[A], direction: Direction[A]) -> None:
        super().__init__(ops, direction)
        fixed = direction.weight_hr is not None and not getattr(direction.projection_quantizer, "_if_calib", False)
        self.projection = self.quantized_projection() if fixed else None

    def quantized_projection(self) -> A | None:
        """weight_hr, quantised; None without projections."""
        weight, quantizer = self.direction.weight_hr, self.direction.projection_quantizer
        return weight if weight is None or quantizer is None else quantizer(weight)

    def step(self, joined: A, weight: A, state: State[A]) -> State[A]:
        """The state (h, c) after a step, by the quantised arrays."""
        h, c = self.ops.lstm_gates(self.sums(joined, weight), state[1])
        projection = self.quantized_projection() if self.projection is None else self.projection
        if projection is None:
            return h, c
        quantizer = self.direction.state_quantizer
        return self.ops.linear(h if quantizer is None else quantizer(h), projection, None), c


class GRUStep(Cell[A]):
    """n = tanh(W_n x + r * (U_n h)); h' = n + z * (h - n)."""

    def step(self, joined: A, weight: A, state: State[A]) -> State[A]:
        """The state (h,) after a step, by the quantised arrays."""
        h, size = state[0], state[0].shape[1]
        of_x, of_h = self.products(joined, weight)
        r, z = (self.ops.sigmoid(of_x[:, cut] + of_h[:, cut]) for cut in (slice(size), slice(size, 2 * size)))
        n = self.ops.tanh(of_x[:, 2 * size:] + r * of_h[:, 2 * size:])
        return (n + z * (h - n),)


CELLS: dict[str, type[Cell[Any]]] = {"RNN_TANH": Cell, "RNN_RELU": ReluCell, "LSTM": LSTMStep, "GRU": GRUStep}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def run_direction(cell: Cell[A], x: A, batch_sizes: Sequence[int], state: State[A],
                  reverse: bool) -> tuple[A, State[A]]:
    """Runs over packed steps: of `x` (sum of batch_sizes, inputs) step t is the next `batch_sizes[t]` rows.

    Batch sizes never grow with t: the sequences are sorted, longest first. Forwards, the state of a sequence is final
    when it ends; backwards, a sequence joins with its initial state where it ends.
    """
    starts = [0, *accumulate(batch_sizes)]
    outputs: dict[int, A] = {}
    initial, finished = state, list[State[A]]()
    if reverse:
        state = tuple(part[:batch_sizes[-1]] for part in initial)
    for t in reversed(range(len(batch_sizes))) if reverse else range(len(batch_sizes)):
        size, running = batch_sizes[t], state[0].shape[0]
        if size < running:
            finished.append(tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        elif size > running:
            state = tuple(cell.ops.cat([part, first[running:size]], 0)
                          for part, first in zip(state, initial, strict=True))
        state = cell(x[starts[t]:starts[t] + size], state)
        outputs[t] = state[0]
    ends = [state, *reversed(finished)]
    in_order = [outputs[t] for t in range(len(batch_sizes))]
    return cell.ops.cat(in_order, 0), tuple(cell.ops.cat(list(parts), 0) for parts in zip(*ends, strict=True))


def run_layers(mode: str, ops: ArrayOps[A], layers: Sequence[Sequence[Direction[A]]], x: A, batch_sizes: Sequence[int],
               initial: State[A], dropout: float, whole: Whole[A] | None = None) -> tuple[A, list[State[A]]]:
    """All layers, each of one direction or two.

    Args:
        mode: a key of `CELLS`.
        layers: the directions of each layer, forwards first.
        x: packed steps (sum of batch_sizes, inputs).
        initial: (h, c) or (h,), each (layers * directions, batch, hidden), or h as wide as the projections.
        dropout: probability of zeroing between layers; 0 also for evaluation.
        whole: computes a layer at once from its directions, packed steps, batch sizes and initial states of each
            direction, if it can: outputs and final states, or None.

    Returns:
        The outputs of the last layer, packed, both directions side by side; the final state of each direction.
    """
    finals: list[State[A]] = []
    for number, directions in enumerate(layers):
        outputs: list[A] = []
        states = [tuple(part[len(finals) + d] for part in initial) for d in range(len(directions))]
        made = None if whole is None else whole(directions, x, batch_sizes, states)
        if made is not None:
            outputs.append(made[0])
            finals += made[1]
        for direction, state in () if made is not None else zip(directions, states, strict=True):
            output, final = run_direction(CELLS[mode](ops, direction), x, batch_sizes, state, bool(outputs))
            outputs.append(output)
            finals.append(final)
        x = outputs[0] if len(outputs) == 1 else ops.cat(outputs, 1)
        if dropout and number < len(layers) - 1:
            x = ops.dropout(x, dropout)
    return x, finals

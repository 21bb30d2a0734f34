"""LSTM and GRU."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import _C
from ...float_nn import functional as F
from ...float_nn.functional.recurrent import Remembered, lstm_gates
from ..representation.arithmetic import fake_quantize
from ..representation.notes import hidden_quantizer
from .table import Array, Function, NodeLike, attribute, operator

__all__ = ["CELLS", "Cells", "cells_of", "run_cells"]

CELLS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


class Cells:
    """What a node's attributes say of its cells.

    kind: as `_C.recurrent` names it. directions: 1 or 2. reverse: the first direction runs backwards.
    batch_first: the standard's layout 1.
    """

    def __init__(self, node: NodeLike) -> None:
        direction = attribute(node, "direction", "forward")
        linear_before = node.op_type == "LSTM" or attribute(node, "linear_before_reset", 0)
        self.kind = node.op_type if linear_before else "GRU_RESET_FIRST"
        self.directions = 2 if direction == "bidirectional" else 1
        self.reverse = direction == "reverse"
        self.batch_first = bool(attribute(node, "layout", 0))
        self.is_lstm = node.op_type == "LSTM"

    @property
    def gates(self) -> int:
        """The gates of a unit."""
        return 4 if self.is_lstm else 3

    def ordered(self, array: Array) -> Array:
        """Rows of all gates, of one direction, in the order of the library's cells."""
        if self.is_lstm:
            i, o, f, g = np.split(array, 4)
            return np.concatenate([i, f, g, o])
        z, r, n = np.split(array, 3)
        return np.concatenate([r, z, n])

    def stacked(self, weight: Array) -> Array:
        """(directions, gates * hidden, ...) as rows of all directions."""
        return np.concatenate([self.ordered(each) for each in weight])

    def products(self, recurrent: Array) -> list[Array]:
        """What the states are multiplied with, (outputs, hidden) each, of all directions."""
        found, cut = [], 2 * recurrent.shape[-1]
        for each in recurrent:
            rows = self.ordered(each)
            found += [rows[:cut], rows[cut:]] if self.kind == "GRU_RESET_FIRST" else [rows]
        return found

    def biases(self, bias: Array) -> tuple[Array, list[Array | None]]:
        """(directions, 2 * gates * hidden) as one for the products of the input, and those of `products`."""
        half = bias.shape[-1] // 2
        if self.is_lstm:
            return self.stacked(bias[:, :half] + bias[:, half:]), [None] * len(bias)
        rest: list[Array | None] = []
        for each in bias[:, half:]:
            rows, cut = self.ordered(each), 2 * half // 3
            rest += [rows[:cut], rows[cut:]] if self.kind == "GRU_RESET_FIRST" else [rows]
        return self.stacked(bias[:, :half]), [each if each is None else np.ascontiguousarray(each) for each in rest]

    def states(self, given: Sequence[Any], x: Array, size: int) -> list[Array]:
        """The initial states (directions, batch, hidden) of x (time, batch, ...): h, and c of an LSTM."""
        shape, found = (self.directions, x.shape[1], size), []
        for name, state in zip("hc" if self.is_lstm else "h", given, strict=False):
            array = np.zeros(shape, x.dtype) if state is None else np.asarray(state, x.dtype)
            array = array.swapaxes(0, 1) if state is not None and self.batch_first else array
            if array.shape != shape:
                raise ValueError(f"Expected initial_{name} of shape {shape}, got {array.shape}")
            found.append(np.ascontiguousarray(array))
        return found

    def results(self, y: Array, states: Sequence[Array]) -> list[Array]:
        """Outputs (time, directions, batch, hidden) and states as the node has them."""
        if not self.batch_first:
            return [y, *states]
        return [np.ascontiguousarray(y.transpose(2, 0, 1, 3)),
                *(np.ascontiguousarray(state.swapaxes(0, 1)) for state in states)]


def cells_of(node: NodeLike) -> Cells | None:
    """The cells of a node; None if it has what only the reference knows: clip, other activations, input_forget."""
    cells, chosen = Cells(node), attribute(node, "activations")
    usual = chosen is None or tuple(chosen) == CELLS[node.op_type] * cells.directions
    plain = usual and attribute(node, "clip") is None and not attribute(node, "input_forget", 0)
    return cells if plain and attribute(node, "layout", 0) in (0, 1) else None


def _check(x: Array, weight: Array, recurrent: Array, cells: Cells) -> int:
    size, gates = recurrent.shape[-1], cells.gates
    if (x.ndim, weight.ndim, recurrent.ndim) != (3, 3, 3) or weight.shape[1] != gates * size or \
            recurrent.shape[1] != gates * size or weight.shape[2] != x.shape[2] or \
            len(weight) != len(recurrent) or len(weight) != cells.directions:
        raise ValueError(f"Expected W of shape (directions, {gates} * hidden, {x.shape[-1]}) and R of (directions, "
                         f"{gates} * hidden, hidden), got {weight.shape} and {recurrent.shape}")
    return int(size)


def _sizes(lengths: Any, x: Array) -> tuple[Array, Array] | None:
    """An order of the sequences, the longest first, and how many of them run at each step; None if all always run."""
    found = np.asarray(lengths)
    if found.shape != x.shape[1:2] or np.any(found < 0) or np.any(found > len(x)):
        raise ValueError(f"Expected sequence_lens of {x.shape[1]} numbers from 0 to {len(x)}, got {found.tolist()}")
    if np.all(found == len(x)):
        return None
    order = np.argsort(-found, kind="stable")
    return order, np.array([(found > t).sum() for t in range(found.max(initial=0))], np.int64)


def run_cells(cells: Cells, x: Array, lengths: Any, states: list[Array], ahead: Any, products: tuple[Any, ...],
              size: int) -> tuple[Array, list[Array]] | str:
    """Outputs (time, directions, batch, hidden) and final states; or why integers cannot give them.

    Args:
        x: (time, batch, inputs).
        lengths: of each sequence, or None.
        states: see `Cells.states`.
        ahead: gives the products of rows (n, inputs), or a sentence that says why it cannot.
        products: see `_C.recurrent`.
        size: units.
    """
    time, batch = x.shape[:2]
    found = None if lengths is None else _sizes(lengths, x)
    y = np.zeros((time, cells.directions, batch, size), np.float32)
    if not y.size or (found is not None and not len(found[1])):
        return y, [state if found is None else np.zeros_like(state) for state in states]
    c = states[1] if cells.is_lstm else None
    if found is None:
        rows = ahead(np.ascontiguousarray(x).reshape(time * batch, -1))
        made = rows if isinstance(rows, str) else \
            _C.recurrent(cells.kind, rows, products, states[0], c, None, cells.reverse, True)
        return made if isinstance(made, str) else (made[0], list(made[1:]))
    order, sizes = found
    runs = np.arange(batch) < sizes[:, None]
    rows = ahead(np.ascontiguousarray(x[:len(sizes), order][runs]))
    sorted_states = [np.ascontiguousarray(state[:, order]) for state in states]
    made = rows if isinstance(rows, str) else _C.recurrent(
        cells.kind, rows, products, sorted_states[0], sorted_states[1] if cells.is_lstm else None, sizes,
        cells.reverse, False)
    if isinstance(made, str):
        return made
    back, placed = np.argsort(order), np.zeros((len(sizes), batch, cells.directions * size), np.float32)
    placed[runs] = made[0]
    y[:len(sizes)] = placed[:, back].reshape(len(sizes), batch, cells.directions, size).swapaxes(1, 2)
    empty = np.asarray(lengths) == 0  # whose states onnxruntime has as zeros
    return y, [np.where(empty[:, None], np.float32(0), state[:, back]) for state in made[1:]]


def _in_float32(cells: Cells, known: Remembered[tuple[Array, list[Array]]], x: Array, weight: Array, recurrent: Array,
                bias: Any, lengths: Any, states: list[Array], size: int) -> tuple[Array, list[Array]]:
    def packed() -> tuple[Array, list[Array]]:
        return cells.stacked(weight), [_C.float_panels(np.ascontiguousarray(each))
                                       for each in cells.products(recurrent)]

    stacked, panels = known((weight, recurrent), packed)
    ahead_bias, rest = (None, [None] * len(panels)) if bias is None else cells.biases(bias)
    products = tuple((each, None, own) for each, own in zip(panels, rest, strict=False))
    made = run_cells(cells, x, lengths, states, lambda rows: F.linear(rows, stacked, ahead_bias), products, size)
    assert not isinstance(made, str)
    return made


def _step_by_step(cells: Cells, rounded: Function, x: Array, weight: Array, recurrent: Array, bias: Any,
                  states: list[Array], size: int) -> tuple[Array, list[Array]]:
    """The same by NumPy, of other types than float32 or with states that are rounded ahead of a product of floats."""
    ahead_bias, rest = (None, [None] * len(weight) * 2) if bias is None else cells.biases(bias)
    ahead = F.linear(x, cells.stacked(weight), ahead_bias)
    products = list(zip(cells.products(recurrent), rest, strict=False))
    each, columns = len(products) // cells.directions, cells.gates * size
    states = [state.copy() for state in states]
    y = np.empty((len(x), cells.directions, x.shape[1], size), x.dtype)
    for d in range(cells.directions):
        own = products[d * each:(d + 1) * each]
        for t in reversed(range(len(x))) if d == 1 or cells.reverse else range(len(x)):
            sums = ahead[t, :, d * columns:(d + 1) * columns]
            new = _cell(cells, [F.linear(np.asarray(rounded(states[0][d])), *own[0])], sums,
                        [state[d] for state in states], rounded, own)
            for state, value in zip(states, new, strict=True):
                state[d] = value
            y[t, d] = new[0]
    return y, states


def _cell(cells: Cells, made: list[Array], sums: Array, states: list[Array], rounded: Function,
          products: list[tuple[Array, Any]]) -> tuple[Array, ...]:
    h, size = states[0], states[0].shape[-1]
    if cells.is_lstm:
        return lstm_gates(sums + made[0], states[1])
    r, z = np.split(F.sigmoid(sums[:, :2 * size] + made[0][:, :2 * size]), 2, axis=-1)
    inner = F.linear(np.asarray(rounded(r * h)), *products[1]) if len(products) > 1 else r * made[0][:, 2 * size:]
    n = F.tanh(sums[:, 2 * size:] + inner)
    return (n + z * (h - n),)


def _function(node: NodeLike) -> Function | None:
    cells = cells_of(node)
    if cells is None:
        return None
    found = hidden_quantizer(node)
    known: Remembered[tuple[Array, list[Array]]] = Remembered()

    def rounded(h: Array) -> Array:
        return h if found is None else fake_quantize(h, found.amax, found.spec)

    def run(x: Array, weight: Array, recurrent: Array, bias: Any = None, lengths: Any = None, h0: Any = None,
            c0: Any = None, peepholes: Any = None) -> Any:
        x = x.swapaxes(0, 1) if cells.batch_first else x
        size = _check(x, weight, recurrent, cells)
        if peepholes is not None:
            return NotImplemented
        states = cells.states((h0, c0), x, size)
        if found is None and all(each is None or each.dtype == np.float32 for each in (x, weight, recurrent, bias)):
            made = _in_float32(cells, known, x, weight, recurrent, bias, lengths, states, size)
        elif lengths is not None and np.any(lengths != len(x)):
            return NotImplemented
        else:
            made = _step_by_step(cells, rounded, x, weight, recurrent, bias, states, size)
        return tuple(cells.results(*made))[:len(node.outputs)]
    return run


@operator("LSTM", floats=True)
def _lstm(node: NodeLike, opset: int) -> Function | None:
    return _function(node)


@operator("GRU", floats=True)
def _gru(node: NodeLike, opset: int) -> Function | None:
    return _function(node)

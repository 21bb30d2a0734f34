"""LSTM and GRU."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...float_nn import functional as F
from ...float_nn.functional.recurrent import lstm_gates
from ..arithmetic import fake_quantize
from ..notes import hidden_quantizer
from .table import Array, Function, NodeLike, attribute, operator


def _is_plain(node: NodeLike, activations: tuple[str, ...]) -> bool:
    """Whether a node has none of what only the reference knows."""
    directions = 2 if attribute(node, "direction", "forward") == "bidirectional" else 1
    chosen = attribute(node, "activations")
    return ((chosen is None or tuple(chosen) == activations * directions)
            and not attribute(node, "layout", 0) and attribute(node, "clip") is None
            and not attribute(node, "input_forget", 0))


def _start(state: Any, directions: int, x: Array, size: int) -> Array:
    return np.asarray(np.zeros((directions, x.shape[1], size), x.dtype) if state is None else state)


def _order(node: NodeLike, direction: int, steps: int) -> range:
    reverse = attribute(node, "direction", "forward") == "reverse" or direction == 1
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _check(x: Array, weight: Array, recurrent: Array, gates: int) -> int:
    size = recurrent.shape[-1]
    if (x.ndim, weight.ndim, recurrent.ndim) != (3, 3, 3) or weight.shape[1] != gates * size or \
            recurrent.shape[1] != gates * size or weight.shape[2] != x.shape[2] or len(weight) != len(recurrent):
        raise ValueError(f"Expected W of shape (directions, {gates} * hidden, {x.shape[-1]}) and R of (directions, "
                         f"{gates} * hidden, hidden), got {weight.shape} and {recurrent.shape}")
    return int(size)


def _state(node: NodeLike) -> Function:
    """What a hidden state goes through before it is multiplied."""
    found = hidden_quantizer(node)
    return (lambda h: h) if found is None else (lambda h: fake_quantize(h, found.amax, found.spec))


def _products(x: Array, weight: Array) -> Array:
    steps, batch, features = x.shape
    rows: Array = np.matmul(x.reshape(steps * batch, features), weight.T)
    return rows.reshape(steps, batch, len(weight))


@operator("LSTM", floats=True)
def _lstm(node: NodeLike, opset: int) -> Function | None:
    if not _is_plain(node, ("Sigmoid", "Tanh", "Tanh")):
        return None
    rounded = _state(node)

    def run(x: Array, weight: Array, recurrent: Array, bias: Any = None, lengths: Any = None, h0: Any = None,
            c0: Any = None, peepholes: Any = None) -> Any:
        size = _check(x, weight, recurrent, 4)
        if peepholes is not None or (lengths is not None and np.any(lengths != len(x))):
            return NotImplemented
        h, c = (_start(state, len(weight), x, size).copy() for state in (h0, c0))
        y = np.empty((len(x), len(weight), x.shape[1], size), x.dtype)
        for d in range(len(weight)):
            w, r = _rows(weight[d]), _rows(recurrent[d]).T
            b = None if bias is None else _rows(bias[d, :4 * size]) + _rows(bias[d, 4 * size:])
            ahead = F.linear(x, w, b)
            for t in _order(node, d, len(x)):
                h[d], c[d] = lstm_gates(ahead[t] + rounded(h[d]) @ r, c[d])
                y[t, d] = h[d]
        return (y, h, c)[:len(node.outputs)]
    return run


def _rows(array: Array) -> Array:
    """Rows for input, output, forget gate and candidate in the order of float_nn: input, forget, candidate, output."""
    i, o, f, g = np.split(array, 4)
    return np.concatenate([i, f, g, o])


@operator("GRU", floats=True)
def _gru(node: NodeLike, opset: int) -> Function | None:
    if not _is_plain(node, ("Sigmoid", "Tanh")):
        return None
    rounded = _state(node)
    linear_before = bool(attribute(node, "linear_before_reset", 0))

    def run(x: Array, weight: Array, recurrent: Array, bias: Any = None, lengths: Any = None, h0: Any = None) -> Any:
        size = _check(x, weight, recurrent, 3)
        if lengths is not None and np.any(lengths != len(x)):
            return NotImplemented
        directions = len(weight)
        h = _start(h0, directions, x, size).copy()
        b = np.zeros((directions, 6 * size), x.dtype) if bias is None else bias
        y = np.empty((len(x), directions, x.shape[1], size), x.dtype)
        for d in range(directions):
            ahead, rest = _products(x, weight[d]) + b[d, :3 * size], b[d, 3 * size:]
            gates, candidate = recurrent[d, :2 * size].T, recurrent[d, 2 * size:].T
            for t in _order(node, d, len(x)):
                z, r = np.split(F.sigmoid(ahead[t, :, :2 * size] + rounded(h[d]) @ gates + rest[:2 * size]), 2, axis=-1)
                inner = r * (rounded(h[d]) @ candidate + rest[2 * size:]) if linear_before else \
                    rounded(r * h[d]) @ candidate + rest[2 * size:]
                h[d] = y[t, d] = (1 - z) * F.tanh(ahead[t, :, 2 * size:] + inner) + z * h[d]
        return (y, h)[:len(node.outputs)]
    return run

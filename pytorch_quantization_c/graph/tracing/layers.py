"""Layers that are recorded as a whole."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...float_nn.rnn import LSTM
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["is_plain_lstm", "record_lstm"]


def _reordered(array: Any) -> Any:
    """Rows for input, forget, cell, output gate in ONNX's order: input, output, forget, cell."""
    i, f, g, o = np.split(np.asarray(array), 4)
    return np.concatenate([i, o, f, g])


def record_lstm(recording: Recording, layer: LSTM, input: Any, hx: Any = None) -> Any:
    """A stack of LSTM layers, one node for each. A subclass with its own `forward` or step is called as any module."""
    if isinstance(input, tuple):
        refuse("packed sequences", "pass one array")
    if layer.proj_size:
        refuse("an LSTM with projections", "ONNX's LSTM has none")
    if layer.dropout and layer.training:
        refuse("dropout while training, which draws random numbers", "call `eval()` first")
    single, swap = input.ndim == 2, input.ndim == 3 and layer.batch_first
    x = input[:, None] if single else np.swapaxes(input, 0, 1) if swap else input
    states = _initial(x, hx, layer, single)
    directions, finals = 2 if layer.bidirectional else 1, []
    for number in range(layer.num_layers):
        own = [state[number * directions:(number + 1) * directions] if layer.num_layers > 1 else state
               for state in states] if states else [None, None]
        names = layer._all_weights[number * directions:(number + 1) * directions]
        x, h, c = _layer(recording, layer, names, x, own)
        finals.append((h, c))
    h, c = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*finals, strict=True))
    y = x[:, 0] if single else np.swapaxes(x, 0, 1) if swap else x
    return y, ((h[:, 0], c[:, 0]) if single else (h, c))


def _initial(x: Any, hx: Any, layer: LSTM, single: bool) -> list[Any]:
    """The given states; none if they are zeros."""
    if hx is None:
        return []
    return [state[:, None] if single else state for state in hx]


def _layer(recording: Recording, layer: LSTM, names: list[list[str]], x: Any, states: list[Any]) -> Any:
    """The outputs (T, N, directions * hidden) and last states of one layer."""
    weights = [dict(zip((name.rsplit("_l", 1)[0] for name in each), (getattr(layer, name) for name in each),
                        strict=True)) for each in names]
    w, r = (np.stack([_reordered(each[kind]) for each in weights]) for kind in ("weight_ih", "weight_hh"))
    b = None if not layer.bias else np.stack([np.concatenate(
        [_reordered(each["bias_ih"]), _reordered(each["bias_hh"])]) for each in weights])
    constants = [recording.constant(array, name=kind) for kind, array in (("W", w), ("R", r))]
    bias = None if b is None else recording.constant(b, name="B")
    y, h, c = recording.emit("LSTM", x, *constants, bias, None, *states, outputs=3, hidden_size=layer.hidden_size,
                             direction="bidirectional" if layer.bidirectional else "forward")
    if len(names) == 1:
        return recording.emit("Squeeze", y, np.array([1], np.int64)), h, c
    joined = recording.emit("Transpose", y, perm=[0, 2, 1, 3])
    return recording.emit("Reshape", joined, np.array([0, 0, -1], np.int64)), h, c


def is_plain_lstm(module: Any) -> bool:
    """Whether a module computes as LSTM itself does."""
    return isinstance(module, LSTM) and type(module).forward is LSTM.forward and type(module)._layer is LSTM._layer



"""Layers that are recorded as a whole."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...float_nn.rnn import GRU, LSTM
from ..representation.notes import set_hidden_quantizer
from ..representation.spec import QuantizerSpec
from .quantizers import record_quantizer
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["is_plain_recurrent", "record_quantized_recurrent", "record_recurrent"]


Recurrent = LSTM | GRU


def _reordered(array: Any, mode: str) -> Any:
    """Rows for input, forget, cell, output gate, or reset gate, update gate, candidate, in ONNX's order."""
    if mode == "GRU":
        r, z, n = np.split(np.asarray(array), 3)
        return np.concatenate([z, r, n])
    i, f, g, o = np.split(np.asarray(array), 4)
    return np.concatenate([i, o, f, g])


def record_recurrent(recording: Recording, layer: Recurrent, input: Any, hx: Any = None) -> Any:
    """A stack of LSTM or GRU layers, a node each. A subclass with its own `forward` or step is called as any module."""
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
               for state in states] if states else [None] * layer._parts
        names = layer._all_weights[number * directions:(number + 1) * directions]
        x, *last = _layer(recording, layer, names, x, own)
        finals.append(list(last))
    joined = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*finals, strict=True)]
    y = x[:, 0] if single else np.swapaxes(x, 0, 1) if swap else x
    last = [each[:, 0] if single else each for each in joined]
    return y, tuple(last) if layer.mode == "LSTM" else last[0]


def _initial(x: Any, hx: Any, layer: Recurrent, single: bool) -> list[Any]:
    """The given states; none if they are zeros."""
    if hx is None:
        return []
    return [state[:, None] if single else state for state in (hx if layer.mode == "LSTM" else [hx])]


def _layer(recording: Recording, layer: Recurrent, names: list[list[str]], x: Any, states: list[Any]) -> Any:
    """The outputs (T, N, directions * hidden) and last states of one layer."""
    weights = [dict(zip((name.rsplit("_l", 1)[0] for name in each), (getattr(layer, name) for name in each),
                        strict=True)) for each in names]
    w, r = (np.stack([_reordered(each[kind], layer.mode) for each in weights]) for kind in ("weight_ih", "weight_hh"))
    b = None if not layer.bias else np.stack([np.concatenate(
        [_reordered(each[kind], layer.mode) for kind in ("bias_ih", "bias_hh")]) for each in weights])
    constants = [recording.constant(array, name=kind) for kind, array in (("W", w), ("R", r))]
    bias = None if b is None else recording.constant(b, name="B")
    more: dict[str, Any] = {} if layer.mode == "LSTM" else {"linear_before_reset": 1}
    y, *last = recording.emit(layer.mode, x, *constants, bias, None, *states, outputs=1 + layer._parts,
                              hidden_size=layer.hidden_size,
                              direction="bidirectional" if layer.bidirectional else "forward", **more)
    if len(names) == 1:
        return recording.emit("Squeeze", y, np.array([1], np.int64)), *last
    joined = recording.emit("Transpose", y, perm=[0, 2, 1, 3])
    return recording.emit("Reshape", joined, np.array([0, 0, -1], np.int64)), *last


def record_quantized_recurrent(recording: Recording, layer: Any, input: Any, hx: Any = None) -> Any:
    """A stack of quantised LSTM or GRU layers that has computed itself on integers: a node for each direction."""
    if isinstance(input, tuple):
        refuse("packed sequences", "pass one array")
    if layer.proj_size:
        refuse("an LSTM with projections", "ONNX's LSTM has none")
    x = np.swapaxes(input, 0, 1) if layer.batch_first else input
    given = [] if hx is None else list(hx) if layer.mode == "LSTM" else [hx]
    directions, finals = 2 if layer.bidirectional else 1, []
    for first in range(0, layer.num_layers * directions, directions):
        parts = [_direction(recording, layer, first + d, x, [state[first + d:first + d + 1] for state in given], d == 1)
                 for d in range(directions)]
        finals += [last for _, last in parts]
        x = parts[0][0] if directions == 1 else np.concatenate([y for y, _ in parts], -1)
    states = [each[0] if len(each) == 1 else np.concatenate(each) for each in zip(*finals, strict=True)]
    return np.swapaxes(x, 0, 1) if layer.batch_first else x, tuple(states) if layer.mode == "LSTM" else states[0]


def _direction(recording: Recording, layer: Any, index: int, x: Any, states: list[Any], reverse: bool) -> Any:
    """The outputs (T, N, hidden) and last states of one direction."""
    scope, mode = recording.scope[-1], layer.mode
    own = [np.asarray(each) for each in layer.all_weights[index]]
    of_input, of_weight = layer._input_quantizers[index], layer._weight_quantizers[index]
    x = record_quantizer(recording, of_input, f"{scope}._input_quantizers.{index}", x)
    format, amax = of_weight.format, np.asarray(of_weight._get_amax(np.concatenate(own[:2], 1)))
    spec = QuantizerSpec(format.bits, format.unsigned, format.narrow, axis=1 if amax.size > 1 else None)
    amax = _reordered(amax.reshape(-1), mode) if amax.size > 1 else amax.reshape(())
    weights = [recording.quantized(recording.constant(_reordered(each, mode)[None], name=kind), amax, spec,
                                   f"{scope}._weight_quantizers.{index}.{kind}")
               for each, kind in zip(own, ("W", "R"), strict=False)]
    bias = None if not layer.bias else recording.constant(
        np.concatenate([_reordered(each, mode) for each in own[2:4]])[None], name="B")
    more: dict[str, Any] = {} if mode == "LSTM" else {"linear_before_reset": 1}
    y, *last = recording.emit(mode, x, *weights, bias, None, *states, outputs=3 if mode == "LSTM" else 2,
                              hidden_size=layer.hidden_size, direction="reverse" if reverse else "forward", **more)
    node, range_ = recording.value(y).producer(), np.asarray(of_input._get_amax(np.zeros(1, np.float32)))
    assert node is not None
    set_hidden_quantizer(node, float(range_.reshape(-1)[0]),
                         QuantizerSpec(of_input.format.bits, of_input.format.unsigned, of_input.format.narrow))
    return recording.emit("Squeeze", y, np.array([1], np.int64)), last


def is_plain_recurrent(module: Any) -> bool:
    """Whether a module computes as LSTM or GRU itself does."""
    kind: type[Recurrent] = LSTM if isinstance(module, LSTM) else GRU
    cls = type(module)
    return isinstance(module, kind) and cls.forward is kind.forward and cls._layer is kind._layer

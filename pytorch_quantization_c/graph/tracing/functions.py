"""The functions of float_nn and of the quantisers as operators of ONNX.

A recorder gets the recording and the arguments of the function by name, defaults filled in, and returns the traced
result. The interpreter computes the operators by the same functions.
"""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .array import plain_all
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["call_recorded", "records"]

Recorder = Callable[..., Any]
RECORDERS: dict[str, Recorder] = {}


def records(*names: str) -> Callable[[Recorder], Recorder]:
    """Registers a recorder under the qualified names of functions."""
    def register(recorder: Recorder) -> Recorder:
        RECORDERS.update(dict.fromkeys(names, recorder))
        return recorder
    return register


@functools.cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def call_recorded(recording: Recording, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The traced result of a function of the library."""
    name = function.__qualname__
    recorder = RECORDERS.get(name)
    if recorder is None:
        refuse(f"`{name}`", "a graph has no operator for it")
    bound = _signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    if given.get("inplace"):
        refuse(f"`{name}` with inplace=True, a write in place", "leave `inplace` out")
    real = function(*plain_all(args), **plain_all(kwargs))
    dtype: Any = getattr(next(iter(given.values())), "dtype", None)
    half = isinstance(dtype, np.dtype) and dtype.itemsize == 2 and dtype.kind in "fV" and name not in KEEPS_HALF
    if half:  # computed in float32 and rounded once
        single = np.dtype(np.float32)
        given = {key: recording.cast(value, single) if _is_of(value, dtype) else value
                 for key, value in given.items()}
    made = recorder(recording, **given)
    return recording.rebound(recording.cast(made, dtype) if half else made, real)


KEEPS_HALF = ("pad", "embedding", "fake_quant", "e4m3", "dropout", "dropout1d", "dropout2d", "dropout3d")


def _is_of(value: Any, dtype: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype


def scalar(x: Any, value: float) -> Any:
    """A number in the type of x."""
    return x.dtype.type(value)


def is_decimal(value: float) -> bool:
    """Whether a number is the shortest decimal of a float32, as which an attribute is read."""
    return float(str(np.float32(value))) == value


# Elementwise

def _unary(op: str) -> Recorder:
    def record(recording: Recording, input: Any, **others: Any) -> Any:
        return recording.emit(op, input)
    return record


for _name, _op in (("relu", "Relu"), ("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("hardswish", "HardSwish")):
    RECORDERS[_name] = _unary(_op)


@records("hardtanh")
def _hardtanh(recording: Recording, input: Any, min_val: float, max_val: float, inplace: bool) -> Any:
    return recording.emit("Clip", input, scalar(input, min_val), scalar(input, max_val))


@records("relu6")
def _relu6(recording: Recording, input: Any, inplace: bool) -> Any:
    return _hardtanh(recording, input, 0.0, 6.0, inplace)


@records("leaky_relu")
def _leaky_relu(recording: Recording, input: Any, negative_slope: float, inplace: bool) -> Any:
    if input.dtype == np.float32 or float(np.float32(negative_slope)) == negative_slope:
        return recording.emit("LeakyRelu", input, alpha=float(negative_slope))
    below = recording.emit("Mul", input, scalar(input, negative_slope))
    return recording.emit("Where", recording.emit("Greater", input, scalar(input, 0)), input, below)


@records("elu")
def _elu(recording: Recording, input: Any, alpha: float, inplace: bool) -> Any:
    if input.dtype != np.float32 and float(np.float32(alpha)) != alpha:
        refuse(f"`elu` in {input.dtype} with alpha={alpha}", "an attribute of ONNX is a float32")
    return recording.emit("Elu", input, alpha=float(alpha))


@records("silu")
def _silu(recording: Recording, input: Any, inplace: bool) -> Any:
    return recording.emit("Mul", input, recording.emit("Sigmoid", input))


@records("softplus")
def _softplus(recording: Recording, input: Any, beta: float, threshold: float) -> Any:
    if beta == 1 and threshold >= 20 and input.dtype == np.float32:  # beyond 20 the curve is x itself
        return recording.emit("Softplus", input)
    scaled = recording.emit("Mul", input, scalar(input, beta))
    curve = recording.emit("Div", recording.emit("Softplus", scaled), scalar(input, beta))
    above = recording.emit("Greater", scaled, scalar(input, threshold))
    return recording.emit("Where", above, input, curve)


@records("gelu")
def _gelu(recording: Recording, input: Any, approximate: str) -> Any:
    return recording.emit("Gelu", input, approximate=approximate)


@records("hardsigmoid")
def _hardsigmoid(recording: Recording, input: Any, inplace: bool) -> Any:
    raised = recording.emit("Add", input, scalar(input, 3))
    return recording.emit("Div", recording.emit("Clip", raised, scalar(input, 0), scalar(input, 6)), scalar(input, 6))


def _softmax(op: str) -> Recorder:
    def record(recording: Recording, input: Any, dim: Any, _stacklevel: int, dtype: Any) -> Any:
        x = input if dtype is None else recording.cast(input, np.dtype(dtype))
        axis = dim if dim is not None else 0 if x.ndim in (0, 1, 3) else 1
        return recording.emit(op, x, axis=axis % max(x.ndim, 1))
    return record


RECORDERS["softmax"], RECORDERS["log_softmax"] = _softmax("Softmax"), _softmax("LogSoftmax")


@records("_clipped")
def _clip(recording: Recording, input: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    low, high = (recording.cast(each, input.dtype) for each in (clip_value_min, clip_value_max))
    return recording.emit("Max", recording.emit("Min", input, high), low)


def _dropout(recording: Recording, input: Any, p: float, training: bool, inplace: bool) -> Any:
    if training and p:
        refuse("dropout while training, which draws random numbers", "call `eval()` first")
    return input


for _name in ("dropout", "dropout1d", "dropout2d", "dropout3d"):
    RECORDERS[_name] = _dropout


# Products

@records("linear")
def _linear(recording: Recording, input: Any, weight: Any, bias: Any) -> Any:
    weight = recording.weight(weight)
    if weight.ndim != 2:
        refuse("`linear` with a weight of one dimension", "use `x @ weight`")
    own = bias is not None and np.shape(bias) == (weight.shape[0],)
    y = recording.emit("Gemm", recording.as_rows(input), weight, bias if own else None, transB=1)
    if input.ndim != 2:
        outer = recording.emit("Shape", recording.ahead_of_quantizer(input), start=0, end=-1)
        shape = recording.emit("Concat", outer, np.array([weight.shape[0]], np.int64), axis=0)
        y = recording.emit("Reshape", y, shape)
    return y if own or bias is None else recording.emit("Add", y, bias)


@records("embedding")
def _embedding(recording: Recording, input: Any, weight: Any, max_norm: Any, norm_type: float, **others: Any) -> Any:
    if max_norm is not None:
        from ...float_nn.functional import embedding
        weight = embedding(np.arange(len(weight)), weight, max_norm=max_norm, norm_type=norm_type)
    return recording.emit("Gather", weight, recording.cast(input, np.dtype(np.int64)), axis=0)


@records("lstm_cell")
def _lstm_cell(recording: Recording, input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    gates = input @ w_ih.T + hx[0] @ w_hh.T
    for bias in (b_ih, b_hh):
        gates = gates if bias is None else gates + bias
    return lstm_gates(recording, gates, hx[1])


@records("lstm_gates")
def lstm_gates(recording: Recording, gates: Any, cell: Any) -> tuple[Any, Any]:
    """The new (hidden, cell), as float_nn computes them."""
    size = gates.shape[-1] // 4
    opened = recording.emit("Sigmoid", gates)
    candidates = recording.emit("Tanh", gates[..., 2 * size:3 * size])
    new = opened[..., size:2 * size] * cell + opened[..., :size] * candidates
    return opened[..., 3 * size:] * recording.emit("Tanh", new), new


@records("gru_cell")
def _gru_cell(recording: Recording, input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    size = hx.shape[-1]
    of_x, of_h = (_linear(recording, *each) for each in ((input, w_ih, b_ih), (hx, w_hh, b_hh)))
    opened = recording.emit("Sigmoid", of_x[..., :2 * size] + of_h[..., :2 * size])
    new = recording.emit("Tanh", of_x[..., 2 * size:] + opened[..., :size] * of_h[..., 2 * size:])
    return new + opened[..., size:] * (hx - new)

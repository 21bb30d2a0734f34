"""Normalisation as operators of ONNX."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .functions import is_decimal, records
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording


def _affine(input: Any, weight: Any, bias: Any, shape: Any) -> tuple[Any, Any]:
    """Weight and bias, or what changes nothing: minus zero keeps the sign of a zero that it is added to."""
    dtype = np.float32 if input.dtype.itemsize < 4 else input.dtype
    return (np.ones(shape, dtype) if weight is None else weight,
            np.full(shape, -0.0, dtype) if bias is None else bias)


@records("batch_norm")
def batch_norm(recording: Recording, input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any,
               training: bool, momentum: float, eps: float) -> Any:
    """By the running statistics."""
    if training:
        refuse("batch normalisation while training, which moves its statistics", "call `eval()` first")
    if is_decimal(eps):
        scale, shift = _affine(input, weight, bias, input.shape[1])
        return recording.emit("BatchNormalization", input, scale, shift, running_mean, running_var,
                              epsilon=float(eps))
    wide = (1, -1, *(1,) * (input.ndim - 2))
    factor = 1.0 / np.sqrt(np.asarray(running_var).astype(np.float64) + float(eps))
    factor = factor if weight is None else factor * np.asarray(weight).astype(np.float64)
    y = recording.emit("Sub", input, np.asarray(running_mean).astype(input.dtype).reshape(wide))
    y = recording.emit("Mul", y, factor.astype(input.dtype).reshape(wide))
    return y if bias is None else recording.emit("Add", y, np.asarray(bias).astype(input.dtype).reshape(wide))


@records("instance_norm")
def _instance_norm(recording: Recording, input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any,
                   use_input_stats: bool, momentum: float, eps: float) -> Any:
    if not use_input_stats:
        return batch_norm(recording, input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None:
        refuse("instance normalisation while training, which moves its statistics", "call `eval()` first")
    scale, shift = _affine(input, weight, bias, input.shape[1])
    return recording.emit("InstanceNormalization", input, scale, shift, epsilon=float(eps))


@records("group_norm")
def _group_norm(recording: Recording, input: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    scale, shift = _affine(input, weight, bias, input.shape[1])
    return recording.emit("GroupNormalization", input, scale, shift, num_groups=num_groups, epsilon=float(eps))


@records("layer_norm")
def _layer_norm(recording: Recording, input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    shape = tuple(normalized_shape) if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    scale, _ = _affine(input, weight, None, shape)
    return recording.emit("LayerNormalization", input, scale, bias, axis=-len(shape), epsilon=float(eps))

"""A layer's weight as integers, and what is kept of it between calls."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.formats import Int
from .._core.quantization import Quantization
from .packed import PackedWeights

__all__ = ["CachedWeight", "IntegerWeight", "quantized_weight", "weight_key", "weight_quantization"]


class IntegerWeight:
    """A weight as integers: `values` (int8, or uint8 if unsigned) and what they stand for."""

    __slots__ = ("values", "quantization")

    def __init__(self, values: NDArray[Any], quantization: Quantization) -> None:
        self.values = values
        self.quantization = quantization

    @property
    def scale(self) -> NDArray[np.float32]:
        """Of each output channel, or of all."""
        return self.quantization.scale

    def as_float(self) -> NDArray[np.float32]:
        """The fake-quantised weight, bit for bit."""
        return self.quantization.dequantize(self.values)


class CachedWeight:
    """An integer weight, what proves that it still is the layer's, and its packed form.

    `proof` belongs to the engine that made it: the `weight_key` of the weight, or what stands for it in a frozen layer.
    `packed` is what its packed form was made for, and that form; `guarded` is what a call needs if nothing has changed
    since the last one (see `guards`).
    """

    __slots__ = ("proof", "weight", "packed", "guarded")

    def __init__(self, proof: Any, weight: IntegerWeight) -> None:
        self.proof = proof
        self.weight = weight
        self.packed: tuple[tuple[Any, ...], PackedWeights] | None = None
        self.guarded: tuple[Any, ...] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedWeight, (self.proof, self.weight)


def weight_quantization(format: Int, scale: NDArray[np.float32], transposed: bool) -> Quantization:
    """Of a weight with one scale, or one for each output channel."""
    axis = None if scale.size == 1 else 1 if transposed else 0
    return Quantization(format, axis, None, scale)


def weight_key(weight: NDArray[Any], amax: NDArray[Any] | None, settings: tuple[Any, ...]) -> tuple[Any, ...]:
    """Equal keys prove that the integer form of the weight has not changed; the arrays are read at memory speed."""
    return (_C.fingerprint(weight), weight.shape, weight.dtype, None if amax is None else _C.fingerprint(amax),
            None if amax is None else amax.shape, settings)


def quantized_weight(weight: NDArray[Any], amax: NDArray[Any], format: Int, transposed: bool) -> IntegerWeight | str:
    """A float32 weight as integers of this format, by this amax; or why it has no integer form."""
    shape = [1] * weight.ndim
    channel_axis = 1 if transposed else 0
    shape[channel_axis] = weight.shape[channel_axis]
    if amax.size != 1 and amax.shape != tuple(shape):
        return "the weight's amax is neither per-tensor nor per-output-channel"
    if not np.isfinite(amax).all() or (amax < 0).any():
        return "the amax of the weight is negative or not finite"
    if format.unsigned and (weight < 0).any():
        return "an unsigned weight is negative"
    values, scale = _C.quantize(weight, amax, format.bits, format.unsigned, format.narrow)
    if not (np.isfinite(scale).all() and np.isfinite(values).all()):
        return "the weight or its scale is not finite"
    codes = values.astype(np.uint8 if format.unsigned else np.int8)
    return IntegerWeight(codes, weight_quantization(format, scale.astype(np.float32).reshape(-1), transposed))

"""The integer weight of a frozen layer as the arrays of a state dictionary, and back.

Weights of more than 4 bits are a byte each. Others are packed two in a byte: row by row (the weight's axis 0),
the first in the low half, signed ones in two's complement; an extra array says how to unpack them.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integer.halves import from_halves, in_halves
from ..integer.weights import IntegerWeight, weight_quantization
from .formats import Int
from .quantization import Quantization

__all__ = ["KEYS", "SCALE", "VALUES", "integer_weight", "state_of"]

BYTES, HALVES = "_integer_weight", "_integer_weight_4bit"
VALUES = (BYTES, HALVES)
SCALE = "_integer_scale"
LAYOUT = "_integer_layout"  # of 4-bit weights: are they unsigned, and how many share a scale, 0: all of a channel
KEYS = (*VALUES, SCALE, LAYOUT)
MAX_BITS = 4

Array = NDArray[Any]


def state_of(weight: IntegerWeight) -> dict[str, Array]:
    """The arrays, by the ends of their names."""
    values, quantization = weight.values, weight.quantization
    if quantization.format.num_bits not in range(2, MAX_BITS + 1):
        return {BYTES: values, SCALE: weight.scale}
    layout = np.array([values.dtype.char == "B", quantization.block or 0], np.int64)
    return {HALVES: in_halves(values), SCALE: weight.scale, LAYOUT: layout}


def integer_weight(state: dict[str, Any], shape: tuple[int, ...] | None, transposed: bool,
                   groups: int = 1) -> IntegerWeight | str:
    """The weight of a layer of this shape, None if the state has none; or what is wrong with the arrays."""
    found = {key: value if isinstance(value, np.ndarray) else None for key, value in state.items()}
    scale = found.get(SCALE)
    if HALVES in state:
        return _four_bits(found.get(HALVES), scale, found.get(LAYOUT), shape, transposed, groups)
    values = found.get(BYTES)
    if values is None or values.dtype.char not in "bB":
        return "expected int8 or uint8 values"
    if values.shape != shape:
        return f"size mismatch: the checkpoint has shape {values.shape}, the layer {shape}"
    why = _channel_refusal(scale, values.shape, transposed, groups)
    if why is not None or scale is None:
        return why or "expected a scale"
    format = Int(8, values.dtype.char == "B")
    return IntegerWeight(values.copy(), weight_quantization(format, scale.copy(), values.shape, transposed, groups))


def _four_bits(halves: Array | None, scale: Array | None, layout: Array | None, shape: tuple[int, ...] | None,
               transposed: bool, groups: int) -> IntegerWeight | str:
    if halves is None or halves.dtype != np.uint8 or halves.ndim != 2:
        return "expected 4-bit values in an array of uint8 with 2 dimensions"
    if not shape or halves.shape != (shape[0], -(-int(np.prod(shape[1:])) // 2)):
        return f"size mismatch: the checkpoint has 4-bit values of shape {halves.shape}, the layer {shape}"
    if layout is None or layout.dtype != np.int64 or layout.shape != (2,) or layout[0] not in (0, 1) or layout[1] < 0:
        return "expected a layout of two int64 numbers: 0 or 1, and the size of a block"
    unsigned, block = bool(layout[0]), int(layout[1])
    values, format = from_halves(halves, shape, unsigned), Int(MAX_BITS, unsigned)
    if block == 0:
        why = _channel_refusal(scale, shape, transposed, groups)
        if why is not None or scale is None:
            return why or "expected a scale"
        return IntegerWeight(values, weight_quantization(format, scale.copy(), shape, transposed, groups))
    pointwise = len(shape) > 2 and math.prod(shape[2:]) == 1  # groups of input channels
    axis = 1 if pointwise else len(shape) - 1
    wanted = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1:])
    if scale is None or scale.dtype.char != "f" or scale.shape != wanted:
        return f"expected a scale of shape {wanted}, float32"
    if not _is_good(scale):
        return "expected positive finite scales"
    return IntegerWeight(values, Quantization(format, 1 if pointwise else -1, block, scale.copy()))


def _channel_refusal(scale: Array | None, shape: tuple[int, ...], transposed: bool, groups: int) -> str | None:
    channels = shape[1 if transposed else 0]
    sizes = {1, channels, channels * groups if transposed else channels}
    if scale is None or scale.dtype.char != "f" or scale.ndim != 1 or scale.size not in sizes:
        return f"expected a scale of shape (1,) or ({channels},), float32"
    return None if _is_good(scale) else "expected positive finite scales"


def _is_good(scale: Array) -> bool:
    return bool(np.isfinite(scale).all() and (scale > 0).all())

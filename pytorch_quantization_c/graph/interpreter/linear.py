"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, where they could not become our quantisers."""
from __future__ import annotations

from typing import Any

import numpy as np

from .table import TYPES, Array, Function, NodeLike, attribute, operator

INTEGERS = {np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.uint16), np.dtype(np.int32)}


def _along(each: Array, ndim: int, axis: int) -> Array:
    """A scale or a zero point so that it broadcasts."""
    if each.size == 1:
        return each.reshape(())
    return each.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)])


@operator("QuantizeLinear")
def _quantize_linear(node: NodeLike, opset: int) -> Function:
    axis, wanted = attribute(node, "axis", 1), attribute(node, "output_dtype", 0)
    plain = not attribute(node, "block_size", 0) and not attribute(node, "precision", 0)

    def run(x: Array, scale: Array, zero: Any = None) -> Any:
        dtype: Any = zero.dtype if zero is not None else TYPES.get(wanted) if wanted else np.dtype(np.uint8)
        if not plain or dtype not in INTEGERS or x.dtype != np.float32 or scale.dtype != np.float32:
            return NotImplemented
        limits, point = np.iinfo(dtype), 0 if zero is None else _along(zero, x.ndim, axis).astype(np.float32)
        codes = np.rint(x / _along(scale, x.ndim, axis)) + point
        return np.clip(np.nan_to_num(codes), limits.min, limits.max).astype(dtype)
    return run


@operator("DequantizeLinear")
def _dequantize_linear(node: NodeLike, opset: int) -> Function:
    axis, plain = attribute(node, "axis", 1), not attribute(node, "block_size", 0)

    def run(codes: Array, scale: Array, zero: Any = None) -> Any:
        if not plain or codes.dtype not in INTEGERS or scale.dtype != np.float32:
            return NotImplemented
        wide = np.float64 if codes.dtype == np.int32 else np.float32
        numbers = codes.astype(wide)
        if zero is not None:
            numbers = np.asarray(numbers - _along(zero, codes.ndim, axis).astype(wide))
        return (numbers * _along(scale, codes.ndim, axis)).astype(np.float32)
    return run


@operator("DynamicQuantizeLinear", floats=True)
def _dynamic_quantize_linear(node: NodeLike, opset: int) -> Function:
    def run(x: Array) -> Any:
        if not x.size or x.dtype != np.float32:
            return NotImplemented
        low, high = min(np.float32(0), x.min()), max(np.float32(0), x.max())
        scale = np.float32((high - low) / np.float32(255)) or np.float32(1)
        zero = np.clip(np.rint(-low / scale), 0, 255)
        codes = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
        return codes, np.asarray(scale, np.float32), np.asarray(zero, np.uint8)
    return run

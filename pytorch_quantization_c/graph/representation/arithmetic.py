"""What a quantiser's node computes, on arrays."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _C
from ..._core.block_quant import fake_blocks, fake_float, quantize_blocks
from ..._core.formats import Float
from .spec import QuantizerSpec

__all__ = ["dynamic_range", "fake_quantize", "integers", "signs_zeros", "spread"]

Array = NDArray[Any]
ZERO_AMAX = np.float32(2.0 ** -24)


def spread(values: Any, ndim: int, axis: int | None) -> Array:
    """One value, or one for each index of an axis, so that it broadcasts with an array of `ndim` dimensions."""
    array = np.asarray(values)
    if axis is None or array.ndim == 0:
        return array
    return array.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)])


def _scales(amax: Array, spec: QuantizerSpec) -> tuple[Array, Array]:
    """What is multiplied with before rounding and divided by after it, in float32."""
    amax = np.asarray(amax, np.float32)
    zero = amax <= ZERO_AMAX
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.float32(spec.bound) / amax
    return np.where(zero, np.float32(0), scale), np.where(zero, np.float32(1), scale)


def _blocks(amax: Array, shape: tuple[int, ...], spec: QuantizerSpec) -> Array:
    """One amax for each element along the axis instead of one for each block."""
    if spec.block is None or spec.axis is None:
        return amax
    axis = spec.axis % len(shape)
    return np.repeat(amax, spec.block, axis)[(slice(None),) * axis + (slice(shape[axis]),)]


def _ranges(amax: Array, x: Array, spec: QuantizerSpec) -> Array:
    if spec.block is not None:
        return _blocks(np.asarray(amax), x.shape, spec)
    return spread(amax, x.ndim, spec.axis)


def _clamped(x: Array, amax: Array, spec: QuantizerSpec, zero_point: Any) -> tuple[Array, Array]:
    """q - zero_point in float32, and the scale."""
    mul, div = _scales(_ranges(amax, x, spec), spec)
    point = spread(np.asarray(0 if zero_point is None else zero_point, np.float32), x.ndim, spec.axis)
    low, high = np.float32(spec.low) - point, np.float32(spec.bound) - point
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is clamped, a NaN stays one
        q = np.asarray(x * mul)
    np.rint(q, out=q)
    np.maximum(q, low, out=q)
    np.minimum(q, high, out=q)
    return q, div


def dynamic_range(x: Array, spec: QuantizerSpec) -> tuple[Array, Any]:
    """The amax of this input, and the zero point."""
    if spec.two_sided:
        if not x.size:
            return np.zeros((), np.float32), spec.low
        least = np.minimum(np.min(x), np.float32(0))
        amax = np.asarray(np.maximum(np.max(x), np.float32(0)) - least, np.float32)
        mul, _ = _scales(amax, spec)
        return amax, int(np.clip(np.rint(-least * mul), 0, spec.bound - spec.low) + spec.low)
    if not x.size:
        return np.zeros(() if spec.axis is None else x.shape[spec.axis], np.float32), spec.zero_point
    axes = None if spec.axis is None else tuple(i for i in range(x.ndim) if i != spec.axis % x.ndim)
    return np.asarray(_C.amax(x, axes, False), np.float32), spec.zero_point


def signs_zeros(spec: QuantizerSpec) -> bool:
    """Whether a small negative number becomes -0, by the rule of the library's quantisers, which have no zero point."""
    return spec.zero_point is None or (not spec.unsigned and not np.any(spec.zero_point))


def fake_quantize(x: Array, amax: Array | None, spec: QuantizerSpec) -> Array:
    """The output of a quantiser's node; of `DynamicFakeQuant` if amax is None.

    Computed in float32 and returned in the type of x.

    Raises:
        TypeError: x holds no floats, or is negative where an unsigned quantiser has no zero point.
        ValueError: amax does not broadcast with x along the axis.
    """
    point: Any = spec.zero_point
    if spec.blocks is not None and (amax is None or spec.scale_bits is not None):
        return _in_blocks(x, amax, spec)
    if amax is None:
        amax, point = dynamic_range(x, spec)
    if isinstance(spec.format, Float):
        return fake_float(x, _ranges(amax, x, spec), spec.format)
    if point is None or (not spec.unsigned and not np.any(point)):
        return _C.fake_quant(x, _ranges(amax, x, spec), spec.format.bits, spec.unsigned, spec.narrow)
    q, div = _clamped(np.asarray(x, np.float32), amax, spec, point)
    q /= div
    q += np.float32(0)  # an integer less its zero point is no negative zero
    return q.astype(x.dtype, copy=False)


def _in_blocks(x: Array, amax: Array | None, spec: QuantizerSpec) -> Array:
    """Blocks along `spec.axis` with shared scales, or with dynamic ranges."""
    assert spec.axis is not None and spec.blocks is not None
    moved = np.ascontiguousarray(np.moveaxis(x, spec.axis, -1))
    each = amax if amax is None or amax.size == 1 else np.moveaxis(amax, spec.axis, -1)
    return np.ascontiguousarray(np.moveaxis(fake_blocks(moved, spec.format, spec.blocks, each), -1, spec.axis))


def block_codes(x: Array, amax: Array, spec: QuantizerSpec) -> tuple[Array, Array]:
    """The codes of a constant quantised in blocks, one a byte, and the float32 step of each block."""
    assert spec.axis is not None and spec.blocks is not None
    moved = np.ascontiguousarray(np.moveaxis(x, spec.axis, -1), np.float32)
    each = amax if amax.size == 1 else np.moveaxis(amax, spec.axis, -1)
    codes, found = quantize_blocks(moved, spec.format, spec.blocks, each)
    return tuple(np.ascontiguousarray(np.moveaxis(part, -1, spec.axis))  # type: ignore[return-value]
                 for part in (codes, found.step))


def integers(x: Array, amax: Array | None, spec: QuantizerSpec) -> tuple[Array, Array]:
    """q - zero_point as float32, and the scale that divides it: what an exact product is made of.

    The scale has one element, or broadcasts with x. Raises as `fake_quantize`.
    """
    point: Any = spec.zero_point
    if amax is None:
        amax, point = dynamic_range(x, spec)
    if spec.unsigned and point is None and x.size and np.min(x) < 0:
        raise TypeError("Negative values encountered in unsigned quantization.")
    return _clamped(np.asarray(x, np.float32), amax, spec, point)

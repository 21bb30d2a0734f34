"""Quantisers and quantised layers as nodes."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._core.block_quant import affine_parameters, block_amax
from ..._core.formats import Float, Int
from ..nodes import E4M3, QuantizerSpec
from .array import Traced
from .functions import records
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["record_quantizer", "spec_of", "weight_of_frozen"]


def record_quantizer(recording: Recording, quantizer: Any, name: str, inputs: Any) -> Any:
    """The traced result of a `TensorQuantizer` on a traced array or a constant."""
    x = inputs if isinstance(inputs, Traced) else recording.constant(inputs, name="weight")
    if quantizer.pre_quant_scale is not None:
        x = recording.cast(x * quantizer.pre_quant_scale, x.dtype)
    if quantizer._disabled:
        return x
    if quantizer._if_calib:
        refuse(f"quantiser {name!r}, which collects for calibration", "finish calibrating first")
    if not quantizer._if_quant:
        return quantizer.clip(x) if quantizer._if_clip else x
    if not quantizer._fake_quant:
        refuse(f"quantiser {name!r}, which gives integers", "a layer's quantisers are fake ones")
    if quantizer.blocks is not None:
        return _blocks(recording, quantizer, name, x)
    if quantizer.zero_point:
        return _two_ends(recording, quantizer, name, x)
    amax = quantizer.amax
    if quantizer._learn_amax and not isinstance(quantizer.format, Float):
        x, amax = quantizer.clip(x), quantizer._learned_amax()
    if amax is not None:
        amax = quantizer._as_float(amax)
        return recorded(recording, x, amax if quantizer._scale_amax is None else amax * quantizer._scale_amax,
                        spec_of(quantizer.format), name)
    spec = spec_of(quantizer.format)
    if x._value is not None and x._value.const_value is not None:  # the range of a constant is a constant
        return recorded(recording, x, quantizer._get_amax(x.view(np.ndarray)), spec, name)
    axes = quantizer._axis if isinstance(quantizer._axis, tuple | list) else [quantizer._axis]
    rows = len(axes) > 1 and sorted(axis % x.ndim for axis in axes) == list(range(x.ndim - 1))
    if rows and quantizer._scale_amax is None and not isinstance(quantizer.format, Float):
        return recording.rows_quantized(x, spec, name)
    if quantizer._scale_amax is not None or len(axes) != 1 or isinstance(quantizer.format, Float):
        refuse(f"quantiser {name!r} without an amax", "with `scale_amax`, several axes or E4M3 it needs one: calibrate "
               "first")
    return recording.quantized(x, None, replace(spec, axis=axes[0]), name)


def _constant(x: Traced) -> NDArray[Any] | None:
    """The values of a traced constant."""
    return x.view(np.ndarray) if x._value is not None and x._value.const_value is not None else None


def _blocks(recording: Recording, quantizer: Any, name: str, x: Traced) -> Any:
    """Blocks along the last axis: of a constant with their ranges, else with a fixed one or each array's own."""
    blocks, amax, values = quantizer.blocks, quantizer.amax, _constant(x)
    if quantizer._scale_amax is not None:
        refuse(f"quantiser {name!r} with `scale_amax`", "blocks have none in a graph: scale the amax itself")
    pointwise = quantizer._as_matrix and x.ndim > 2
    axis = 1 if pointwise else x.ndim - 1
    spec = replace(spec_of(quantizer.format), axis=axis, block=blocks.size, scale_bits=blocks.scale_bits)
    if blocks.ignores_amax:
        amax = None
    if amax is None and values is not None:
        amax = block_amax(np.asarray(values).reshape(x.shape[:axis + 1]), blocks.size)
    if amax is not None:
        amax = np.asarray(amax, np.float32)
        amax = amax.reshape(*amax.shape[:2], *x.shape[2:]) if pointwise and amax.ndim > 1 else amax
    return recording.quantized(x, amax, spec, name)


def _two_ends(recording: Recording, quantizer: Any, name: str, x: Traced) -> Any:
    """An asymmetric range as an unsigned quantiser with a zero point."""
    bits, values = quantizer.num_bits, _constant(x)
    if quantizer.amax is None and values is None:
        if quantizer._axis is not None or quantizer._scale_amax is not None:
            refuse(f"quantiser {name!r} without an amax", "with `scale_amax` or an axis it needs one: calibrate first")
        return recording.quantized(x, None, QuantizerSpec(bits, True, False, two_sided=True), name)
    low, high = (np.asarray(end, np.float32) for end in quantizer._get_range(x if values is None else values))
    zero = affine_parameters(low, high, Int(bits, unsigned=True))[1].reshape(-1)
    axes = [axis for axis, size in enumerate((1,) * (x.ndim - low.ndim) + low.shape) if size != 1]
    if len(axes) > 1:
        refuse(f"quantiser {name!r} with a range of shape {low.shape}", "a graph has one, or one for each index of an "
               "axis")
    spec = QuantizerSpec(bits, True, False, tuple(map(int, zero)) if axes else int(zero[0]), axes[0] if axes else None)
    width = high - low
    return recording.quantized(x, width.reshape(-1) if axes else width.reshape(()), spec, name)


def spec_of(format: Int | Float) -> QuantizerSpec:
    """The spec of a graph's quantiser of this format."""
    if isinstance(format, Float):
        return QuantizerSpec(bits=format.num_bits)
    if not 2 <= format.bits <= 16:
        refuse(f"a quantiser of {format.bits} bits", "a graph has 2 to 16")
    return QuantizerSpec(format.bits, format.unsigned, format.narrow)


def recorded(recording: Recording, x: Traced, amax: Any, spec: QuantizerSpec, name: str | None = None) -> Any:
    """A quantiser by an amax that broadcasts with x: one number, or one for each index of one axis."""
    if isinstance(amax, Traced):
        refuse("a quantiser by an amax that is computed from the input", "a quantiser without an amax does that")
    values: NDArray[Any] = np.asarray(amax)
    wide = (1,) * (x.ndim - values.ndim) + values.shape
    axes = [axis for axis, size in enumerate(wide) if size != 1]
    if len(axes) > 1 or len(wide) > x.ndim:
        refuse(f"a quantiser by an amax of shape {values.shape}", "a graph has one number, or one for each index of "
               "one axis")
    if not axes:
        return recording.quantized(x, values.reshape(()), spec, name)
    return recording.quantized(x, values.reshape(-1), replace(spec, axis=axes[0]), name)


@records("fake_quant")
def _fake_quant(recording: Recording, inputs: Any, amax: Any, num_bits: int, unsigned: bool, narrow_range: bool,
                out: None = None) -> Any:
    return recorded(recording, inputs, amax, spec_of(Int(num_bits, bool(unsigned), bool(narrow_range))))


@records("e4m3")
def _e4m3(recording: Recording, inputs: Any, amax: Any, out: None = None) -> Any:
    return recorded(recording, inputs, np.float32(448) if amax is None else amax, QuantizerSpec(bits=E4M3))


def weight_of_frozen(layer: Any, name: str) -> tuple[Any, QuantizerSpec, str] | None:
    """Amax, rounding and name of the weight quantiser of a frozen layer; None of any other."""
    engine = getattr(layer, "_engine", None)
    if engine is None or engine.frozen is None or not engine._still_frozen(layer, engine.frozen):
        return None
    quantization = engine.frozen.weight.quantization
    axis = None if quantization.scale.size == 1 else 1 if getattr(layer, "_transposed", False) else 0
    format = quantization.format
    if quantization.block is not None:
        axis = quantization.axis % quantization.scale.ndim
    spec = QuantizerSpec(format.bits, format.unsigned, format.narrow, axis=axis, block=quantization.block)
    amax = np.array([_amax_of(scale, format.bound) for scale in quantization.scale.reshape(-1)], np.float32)
    shape = () if axis is None else quantization.scale.shape if quantization.block is not None else amax.shape
    return amax.reshape(shape), spec, f"{name}._weight_quantizer"


def _amax_of(scale: np.float32, bound: float) -> np.float32:
    """A float32 amax whose scale fl(bound / amax) is this one."""
    guess = np.float32(bound) / scale
    near = [guess, np.nextafter(guess, np.float32(math.inf)), np.nextafter(guess, np.float32(0))]
    return next((amax for amax in near if np.float32(bound) / amax == scale), guess)

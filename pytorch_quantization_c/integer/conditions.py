"""When a quantised layer can be computed on integers, and what its integers are.

Both quantisers are on and fake, of 2 to 8 bits; the input has one amax, the weight one, or one for each output
channel. Then fake quantisation, product and sum are the integer product divided by the scales, exactly.
A function that finds that it cannot be done answers with a string that says why.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.errors import ShapeError, shown
from .._core.formats import Int, Quantization, number_format
from .packed import Geometry

__all__ = ["IntegerWeight", "Kept", "format_of", "geometry_of", "integer_weight", "quantizer_refusal",
           "range_refusal", "rounded_weight", "weight_key"]


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
        """The fake quantised weight, bit for bit."""
        return self.quantization.dequantize(self.values)


def weight_quantization(format: Int, scale: NDArray[np.float32], transposed: bool) -> Quantization:
    """Of a weight with one scale, or one for each output channel."""
    axis = None if scale.size == 1 else 1 if transposed else 0
    return Quantization(format, axis, None, scale)


class Kept:
    """What a layer keeps between calls: its integer weight, what proves that it still holds, and the packed form.

    `proof` is the `weight_key` of the weight; of a frozen layer it is the weight itself, made read-only, or None if the
    layer has no float weight any more. `packed` is a pair of what the packed weights depend on, and these; `ready` is
    what a call of a frozen layer needs if nothing has changed since the last one.
    """

    __slots__ = ("proof", "weight", "packed", "ready")

    def __init__(self, proof: Any, weight: IntegerWeight) -> None:
        self.proof = proof
        self.weight = weight
        self.packed: Any = (None, None)
        self.ready: tuple[Any, ...] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.proof, self.weight)

    def is_of(self, weight: NDArray[Any] | None) -> bool:
        """For a frozen layer: `weight` is the one it was frozen with, and was not made writable."""
        return weight is self.proof and (weight is None or not weight.flags.writeable)

    def lock(self) -> None:
        """Makes the arrays read-only."""
        for array in (self.weight.values, self.weight.scale, self.proof):
            if array is not None:
                array.setflags(write=False)


def quantizer_refusal(quantizer: Any, whose: str) -> str | None:
    """Why the arrays that pass a quantiser have no integer form."""
    if quantizer._disabled or not quantizer._if_quant:
        return f"the {whose} quantizer is off"
    if quantizer._if_calib:
        return f"the {whose} quantizer collects for calibration"
    format = quantizer.format
    if not isinstance(format, Int) or not 2 <= format.bits <= 8:
        return f"the {whose} has not 2 to 8 bits"
    if not quantizer._fake_quant:
        return f"the {whose} quantizer is not fake"
    if quantizer._learn_amax:
        return f"the range of the {whose} is learnt"
    if quantizer.pre_quant_scale is not None:
        return f"the {whose} has a pre_quant_scale"
    if quantizer._enable_onnx_export:
        return "ONNX export is on"
    if "forward" in vars(quantizer):
        return f"the {whose} quantizer has a forward of its own"
    return None


def range_refusal(quantizer: Any) -> str | None:
    """Why an input has no integer form for its range: it has not one amax, by the axis or by what was loaded."""
    amax = quantizer.amax
    if quantizer._axis is not None or (amax is not None and math.prod(amax.shape) != 1):
        return "the input has an amax for each channel"
    return None


def format_of(quantizer: Any) -> Int:
    """How a quantiser that `quantizer_refusal` has nothing against rounds."""
    format = number_format(quantizer._num_bits, bool(quantizer._unsigned), bool(quantizer._narrow_range))
    assert isinstance(format, Int)
    return format


def weight_key(quantizer: Any, weight: NDArray[Any]) -> tuple[Any, ...]:
    """Equal keys prove that the integer form of the weight has not changed; the arrays are read at memory speed."""
    amax = quantizer.amax
    return (_C.fingerprint(weight), weight.shape, weight.dtype, None if amax is None else _C.fingerprint(amax),
            None if amax is None else amax.shape, quantizer._axis, quantizer._scale_amax, format_of(quantizer))


def integer_weight(quantizer: Any, weight: NDArray[Any], transposed: bool) -> IntegerWeight | str:
    """The weight as the quantiser rounds it."""
    if weight.dtype.char != "f":
        return f"the weight is {weight.dtype}"
    if weight.size == 0:
        return "the weight is empty"
    weight = np.asarray(weight, np.float32)     # in the machine's order of bytes
    return rounded_weight(weight, np.asarray(quantizer._get_amax(weight)), format_of(quantizer), transposed)


def rounded_weight(weight: NDArray[Any], amax: NDArray[Any], format: Int,
                   transposed: bool) -> IntegerWeight | str:
    """A float32 weight as integers of this format, by this amax."""
    shape = [1] * weight.ndim
    channel_axis = 1 if transposed else 0
    shape[channel_axis] = weight.shape[channel_axis]
    if amax.size != 1 and amax.shape != tuple(shape):
        return "the weight has another amax than one, or one for each output channel"
    if not np.isfinite(amax).all() or (amax < 0).any():
        return "the amax of the weight is negative or not finite"
    if format.unsigned and (weight < 0).any():
        return "an unsigned weight is negative"
    values, scale = _C.quantize(weight, amax, format.bits, format.unsigned, format.narrow)
    if not (np.isfinite(scale).all() and np.isfinite(values).all()):
        return "the weight or its scale is not finite"
    codes = values.astype(np.uint8 if format.unsigned else np.int8)
    return IntegerWeight(codes, weight_quantization(format, scale.astype(np.float32).reshape(-1), transposed))


def _check_steps(layer: Any, output_padding: tuple[int, ...]) -> None:
    steps, dilations = tuple(layer.stride), tuple(layer.dilation)
    padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
    for name, values, least in (("stride", steps, 1), ("dilation", dilations, 1), ("padding", padding, 0),
                                ("output_padding", output_padding, 0)):
        if not isinstance(values, str) and min(values, default=least) < least:
            raise ShapeError(f"Expected `{name}` >= {least}, got {min(values)}")
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise ShapeError(f"Expected `padding` of numbers, 'same' or 'valid', got {shown(padding)}")
    if padding == "same" and max(steps) > 1:
        raise ShapeError("padding='same' is not supported for strided convolutions")
    if layer._transposed and any(e >= max(s, d) for e, s, d in zip(output_padding, steps, dilations, strict=True)):
        raise ShapeError(f"Expected `output_padding` smaller than stride {steps} or dilation {dilations}, "
                         f"got {tuple(output_padding)}")


def geometry_of(layer: Any, shape: tuple[int, ...], output_padding: tuple[int, ...]) -> Geometry:
    """Stride, padding and so on of a convolution whose weight has `shape`; other padding than zeros is the caller's.

    ShapeError for what the float layer refuses, too.
    """
    _check_steps(layer, output_padding)
    if layer.padding_mode != "zeros" or layer.padding == "valid":
        before = after = (0,) * layer._spatial
    elif layer.padding == "same":
        total = [d * (k - 1) for k, d in zip(shape[2:], layer.dilation, strict=True)]
        before, after = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    else:
        before = after = tuple(layer.padding)
    return Geometry(layer._transposed, layer.groups, tuple(layer.stride), before, after, tuple(layer.dilation),
                    output_padding)

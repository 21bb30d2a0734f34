"""When a quantised layer can be computed on integers, and in which form.

Both quantisers are enabled and fake, of 2 to 8 bits; the input has one amax, the weight one, or one for each output
channel. Linear layers with weights of 2 to 4 bits may have them in groups along the inputs, and a dynamic range for
each row of the input. Then fake quantisation, product and sum are the integer product divided by the scales, exactly.
A function that rules integers out returns a string that says why.
"""
from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

from .._core.errors import ShapeError, shown
from .._core.formats import Int, number_format
from .packed import Geometry

__all__ = ["QUANTIZER_STEPS", "format_or_refusal", "geometry_of", "has_row_ranges", "range_refusal"]

# What every call asks of a quantiser, at once, and the answer of an active fake quantiser.
_switches = attrgetter("_disabled", "_if_quant", "_if_calib", "_fake_quant", "_learn_amax", "_enable_onnx_export")
QUANTIZER_STEPS = frozenset(("_quant_forward", "_get_amax", "_get_range", "_fake_quantize", "_range_quantize"))
_AT_WORK = (False, True, False, True, False, False)


def format_or_refusal(quantizer: Any, whose: str) -> Int | str:
    """The format of the integers that a quantiser makes, or why the arrays that pass it have no integer form."""
    format = number_format(quantizer._num_bits, bool(quantizer._unsigned), bool(quantizer._narrow_range))
    why = None if _switches(quantizer) == _AT_WORK else _switch_refusal(quantizer, whose)
    if why is not None:
        return why
    if quantizer._block_sizes is not None and not (whose == "weight" and _is_in_groups(quantizer)):
        return f"the {whose} has a scale for each block"
    if quantizer._zero_point and whose != "input":
        return f"the {whose} has a zero point"
    if not isinstance(format, Int) or not 2 <= format.bits <= 8:
        return f"the {whose} has not 2 to 8 bits"
    if (quantizer._buffers or quantizer._parameters) and quantizer._state("_pre_quant_scale") is not None:
        return f"the {whose} has a pre_quant_scale"
    if "forward" in vars(quantizer):
        return f"the {whose} quantiser has a forward of its own"
    return format if QUANTIZER_STEPS.isdisjoint(vars(quantizer)) else f"the {whose} quantiser has a step of its own"


def _is_in_groups(quantizer: Any) -> bool:
    """Whether blocks are groups of 2- to 4-bit integers with float32 scales."""
    return quantizer._block_sizes.scale_bits is None and quantizer._num_bits in (2, 3, 4)


def has_row_ranges(quantizer: Any, amax: Any, input: Any) -> bool:
    """Whether the range is dynamic and that of each row: the axes are all of the input but the last."""
    axis = quantizer._axis
    if axis is None or amax is not None:
        return False
    ndim = len(getattr(input, "shape", ()))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return ndim > 0 and sorted(each % ndim if -ndim <= each < ndim else ndim for each in axes) == list(range(ndim - 1))


def _switch_refusal(quantizer: Any, whose: str) -> str | None:
    if quantizer._disabled or not quantizer._if_quant:
        return f"the {whose} quantiser is off"
    if quantizer._if_calib:
        return f"the {whose} quantiser collects for calibration"
    if not quantizer._fake_quant:
        return f"the {whose} quantiser is not fake"
    if quantizer._learn_amax:
        return f"the range of the {whose} is learnt"
    return "ONNX export is on" if quantizer._enable_onnx_export else None


def range_refusal(quantizer: Any, amax: Any) -> str | None:
    """Why an input has no integer form for its range: it has not one amax, by the axis or by what was loaded."""
    if quantizer._axis is not None or (amax is not None and math.prod(amax.shape) != 1):
        return "the input has an amax for each channel"
    return None


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
    if layer.transposed and any(e >= max(s, d) for e, s, d in zip(output_padding, steps, dilations, strict=True)):
        raise ShapeError(f"Expected `output_padding` smaller than stride {steps} or dilation {dilations}, "
                         f"got {tuple(output_padding)}")


def geometry_of(layer: Any, shape: tuple[int, ...], output_padding: tuple[int, ...]) -> Geometry:
    """Stride, padding and so on of a convolution whose weight has `shape`; other padding than zeros is the caller's.

    ShapeError for what the float layer refuses, too.
    """
    _check_steps(layer, output_padding)
    if layer.padding_mode != "zeros" or layer.padding == "valid":
        before = after = (0,) * (len(shape) - 2)
    elif layer.padding == "same":
        total = [d * (k - 1) for k, d in zip(shape[2:], layer.dilation, strict=True)]
        before, after = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    else:
        before = after = tuple(layer.padding)
    return Geometry(bool(layer.transposed), layer.groups, tuple(layer.stride), before, after, tuple(layer.dilation),
                    output_padding)

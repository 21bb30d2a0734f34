"""Grouped transposed convolutions whose output channels have a scale each: a node for each group.

ONNX quantises along one axis, and the weight's axis of output channels has those of one group.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...float_nn import functional as F
from ..nodes import is_quantizer, quantizer
from .quantizers import spec_of, weight_of_frozen

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["has_scales_of_groups", "record_transposed_groups"]


def has_scales_of_groups(layer: Any) -> bool:
    """Whether a layer is such a convolution."""
    frozen = layer._engine.frozen_weight(layer)
    if frozen is not None:
        return bool(frozen.weight.quantization.groups > 1)
    weight = layer._modules.get("_weight_quantizer")
    return weight is not None and weight._channel_groups > 1 and weight._has_pairs(2 + len(layer.kernel_size)) and \
        not weight._disabled and not weight._if_calib


def record_transposed_groups(recording: Recording, layer: Any, input: Any, output_size: Any = None) -> Any:
    """One convolution for each group, joined along the channels."""
    groups, spatial = layer.groups, len(layer.kernel_size)
    x, axis = layer._input_quantizer(input), input.ndim - spatial - 1
    frozen = weight_of_frozen(layer, recording.scope[-1])
    if frozen is None:
        array, of_weight = np.asarray(layer.weight), layer._weight_quantizer
        amax = np.asarray(of_weight._get_amax(array)).reshape(groups, -1, array.shape[1])[:, 0]
        spec, name = spec_of(of_weight.format), f"{recording.scope[-1]}._weight_quantizer"
    else:
        array = layer._engine.frozen.weight.as_float()
        amax, spec, name = frozen[0].reshape(groups, -1), frozen[1], frozen[2]
    extra = layer._output_padding(input, output_size, layer.stride, layer.padding, layer.kernel_size, spatial,
                                  layer.dilation)
    convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
    biases = [None] * groups if layer.bias is None else np.split(np.asarray(layer.bias), groups)
    parts = []
    for number, weight in enumerate(np.split(array, groups)):
        w = recording.quantized(recording.constant(weight.copy(), name="weight"), amax[number], replace(spec, axis=1),
                                f"{name}.{number}")
        part = _channels(recording, x, axis, number * len(weight), (number + 1) * len(weight))
        parts.append(convolve(part, w, biases[number], layer.stride, layer.padding, extra, 1, layer.dilation))
    return np.concatenate(parts, axis)


def _channels(recording: Recording, x: Any, axis: int, start: int, end: int) -> Any:
    """Some channels, quantised as all are: behind the slice, unless the range is found in all of them."""
    numbers = [np.array([each], np.int64) for each in (start, end, axis)]
    node = recording.value(x).producer()
    if node is not None and is_quantizer(node) and quantizer(node).amax is None:
        return recording.emit("Slice", x, *numbers)
    return recording.moved("Slice", x, *numbers)

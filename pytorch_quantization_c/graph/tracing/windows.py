"""Convolutions, pools, padding and resizing as operators of ONNX."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...float_nn import functional as F
from ...float_nn.checks import integers
from ...float_nn.functional.resize import nearest_places
from .array import plain
from .functions import RECORDERS, records
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _batched(recording: Recording, x: Any, spatial: int, body: Callable[[Any], Any]) -> Any:
    """With a batch dimension for as long as it takes, if there is none."""
    if x.ndim == spatial + 2:
        return body(x)
    zero = np.zeros(1, np.int64)
    return recording.emit("Squeeze", body(recording.moved("Unsqueeze", x, zero)), zero)


def _conv(spatial: int) -> Any:
    def record(recording: Recording, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
               groups: int) -> Any:
        weight = recording.weight(weight)
        kernel, dilations = weight.shape[2:], integers(dilation, spatial, "dilation", 1)
        if padding == "same":
            total = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
            pads = [t // 2 for t in total] + [t - t // 2 for t in total]
        else:
            pads = [*integers(0 if padding == "valid" else padding, spatial, "padding", 0)] * 2
        steps = integers(stride, spatial, "stride", 1)
        return _batched(recording, input, spatial, lambda x: recording.emit(
            "Conv", x, weight, bias, kernel_shape=list(kernel), strides=list(steps), pads=pads,
            dilations=list(dilations), group=groups))
    return record


def _conv_transpose(spatial: int) -> Any:
    def record(recording: Recording, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
               output_padding: Any, groups: int, dilation: Any) -> Any:
        weight = recording.weight(weight)
        each: dict[str, Any] = {name: list(integers(value, spatial, name)) for name, value in (
            ("strides", stride), ("dilations", dilation), ("output_padding", output_padding))}
        pads = [*integers(padding, spatial, "padding", 0)] * 2
        return _batched(recording, input, spatial, lambda x: recording.emit(
            "ConvTranspose", x, weight, bias, kernel_shape=list(weight.shape[2:]), pads=pads, group=groups, **each))
    return record


def _strides(kernel: tuple[int, ...], stride: Any) -> list[int]:
    none = stride is None or np.size(stride) == 0
    return list(kernel if none else integers(stride, len(kernel), "stride", 1))


def _max_pool(spatial: int) -> Any:
    def record(recording: Recording, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
               ceil_mode: bool, return_indices: bool = False) -> Any:
        if return_indices:
            refuse("the indices of a maximum pool", "its maxima alone can be traced")
        kernel = integers(kernel_size, spatial, "kernel_size", 1)
        pads = [*integers(padding, spatial, "padding", 0)] * 2
        dilations = list(integers(dilation, spatial, "dilation", 1))
        return _batched(recording, input, spatial, lambda x: recording.emit(
            "MaxPool", x, kernel_shape=list(kernel), strides=_strides(kernel, stride), pads=pads, dilations=dilations,
            ceil_mode=int(ceil_mode)))
    return record


def _avg_pool(spatial: int) -> Any:
    def record(recording: Recording, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
               count_include_pad: bool, divisor_override: Any = None) -> Any:
        if divisor_override is not None:
            refuse("an average pool with a divisor of its own", "multiply what the pool returns")
        kernel = integers(kernel_size, spatial, "kernel_size", 1)
        pads = [*integers(padding, spatial, "padding", 0)] * 2
        return _batched(recording, input, spatial, lambda x: recording.emit(
            "AveragePool", x, kernel_shape=list(kernel), strides=_strides(kernel, stride), pads=pads,
            ceil_mode=int(ceil_mode), count_include_pad=int(count_include_pad)))
    return record


def _sizes(x: Any, wanted: Any) -> list[int]:
    spatial = x.ndim - 2
    given = list(wanted) if isinstance(wanted, tuple | list) else [wanted]
    given = given if len(given) == spatial else given * spatial
    return [n if m is None else m for n, m in zip(x.shape[2:], given, strict=True)]


def _parts(recording: Recording, x: Any, axis: int, m: int, op: str) -> Any:
    """An axis of n elements reduced to m, in windows as equal as they can be."""
    n = x.shape[axis]
    if n == m:
        return x
    if n % m == 0:
        shape = [0] * axis + [m, n // m] + list(x.shape[axis + 1:])
        split = recording.emit("Reshape", x, np.array(shape, np.int64))
        return recording.emit(op, split, np.array([axis + 1], np.int64), keepdims=0)
    where, parts = np.array([axis], np.int64), []
    for i in range(m):
        bounds = (np.array([place], np.int64) for place in (i * n // m, -(-(i + 1) * n // m)))
        parts.append(recording.emit(op, recording.emit("Slice", x, *bounds, where), where, keepdims=1))
    return recording.emit("Concat", *parts, axis=axis)


def _adaptive(spatial: int, whole: str, op: str) -> Any:
    def record(recording: Recording, input: Any, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices:
            refuse("the indices of a maximum pool", "its maxima alone can be traced")

        def body(x: Any) -> Any:
            sizes = _sizes(x, output_size)
            if all(m == 1 for m in sizes):
                return recording.emit(whole, x)
            for axis in range(spatial + 1, 1, -1):
                x = _parts(recording, x, axis, sizes[axis - 2], op)
            return x
        return _batched(recording, input, spatial, body)
    return record


for _n in (1, 2, 3):
    RECORDERS[f"conv{_n}d"], RECORDERS[f"conv_transpose{_n}d"] = _conv(_n), _conv_transpose(_n)
    RECORDERS[f"max_pool{_n}d"], RECORDERS[f"avg_pool{_n}d"] = _max_pool(_n), _avg_pool(_n)
    RECORDERS[f"adaptive_avg_pool{_n}d"] = _adaptive(_n, "GlobalAveragePool", "ReduceMean")
    RECORDERS[f"adaptive_max_pool{_n}d"] = _adaptive(_n, "GlobalMaxPool", "ReduceMax")


@records("pad")
def _pad(recording: Recording, input: Any, pad: Any, mode: str, value: Any) -> Any:
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    pairs = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    amounts = np.array([*(before for before, _ in pairs), *(after for _, after in pairs)], np.int64)
    if mode == "constant":
        return recording.emit("Pad", input, amounts, np.asarray(value or 0, input.dtype), mode="constant")
    return recording.moved("Pad", input, amounts, mode=PAD_MODES[mode])


@records("interpolate")
def _interpolate(recording: Recording, input: Any, size: Any, scale_factor: Any, mode: str, align_corners: Any,
                 recompute_scale_factor: Any, antialias: bool) -> Any:
    spatial = input.ndim - 2
    if mode == "area":
        sizes = size if size is not None else [int(n * f) for n, f in zip(
            input.shape[2:], np.broadcast_to(scale_factor, spatial), strict=True)]
        return _adaptive(spatial, "GlobalAveragePool", "ReduceMean")(recording, input, sizes)
    coordinates = {"nearest": "asymmetric", "nearest-exact": "half_pixel"}.get(
        mode, "align_corners" if align_corners else "half_pixel")
    settings: dict[str, Any] = {"mode": "nearest" if mode.startswith("nearest") else "linear", "nearest_mode": "floor",
                "coordinate_transformation_mode": coordinates}
    if mode == "nearest-exact":
        settings["nearest_mode"] = "round_prefer_ceil"
    factors = None if scale_factor is None else np.broadcast_to(scale_factor, spatial)
    axes, sizes = list(range(2, input.ndim)), np.array(input.shape[2:])
    if factors is not None and settings["mode"] == "linear":  # which copies an axis that keeps its size
        factors = np.where(np.floor(sizes * factors) == sizes, 1, factors)
    whole = factors is not None and (sizes * factors % 1 == 0).all()
    if factors is not None and not recompute_scale_factor and (whole or not align_corners):
        made = recording.emit("Resize", input, None, factors.astype(np.float32), None, axes=axes, **settings)
    else:
        wanted = np.broadcast_to(size, spatial) if factors is None else np.floor(sizes * factors)
        made = recording.emit("Resize", input, None, None, wanted.astype(np.int64), axes=axes, **settings)
    if settings["mode"] == "linear":
        return made
    real = F.interpolate(plain(input), size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    return made if np.array_equal(plain(made), real, equal_nan=True) else _gathered(recording, input, real.shape, mode,
                                                                                  factors)


def _gathered(recording: Recording, x: Any, shape: tuple[int, ...], mode: str, factors: Any) -> Any:
    """The nearest elements where ONNX's Resize would pick others, since it computes places in another way."""
    for axis in reversed(range(2, x.ndim)):
        places = nearest_places(x.shape[axis], shape[axis], None if factors is None else float(factors[axis - 2]),
                                mode == "nearest-exact", x.ndim == 4)
        x = recording.emit("Gather", x, places, axis=axis)
    return x

"""Which layers a program computes in C, and the numbers that it needs for them."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..interpreter.exact import layer_scale
from ..interpreter.integer_layer import IntegerLayer, Rounded
from ..interpreter.table import NodeLike, attribute
from ..interpreter.windows import AUTO_PADS
from ..representation.arithmetic import integers
from .operations import S16, U8, Codes, Window
from .transposed import Spread, transposed_of

__all__ = ["Layer", "codes_of", "layer_of", "plane_windows_of", "windows_of"]

SAFE = 2.0 ** -80, 2.0 ** 80  # pqc_reciprocal_is_safe
MAX_PRODUCTS = 65536  # PQC_MAX_PRODUCTS


def codes_of(found: Rounded) -> Codes | None:
    """The codes of a quantiser with one constant range, if a program has a type for them."""
    spec = found.spec
    if found.amax is None or spec.axis is not None or not isinstance(spec.bits, int):
        return None
    point = spec.zero_point if isinstance(spec.zero_point, int) else 0
    shift = 0 if spec.unsigned or spec.bits > 8 else 128
    zero_amax = float(found.amax) <= 2.0 ** -24
    with np.errstate(all="ignore"):
        scale = np.float32(1) if zero_amax else np.float32(spec.bound) / np.float32(found.amax)
    if not SAFE[0] < scale < SAFE[1] or (spec.bits > 8 and spec.bound > 32767):
        return None
    refuses = spec.unsigned and spec.zero_point is None
    return Codes(U8 if spec.bits <= 8 else S16, 0.0 if zero_amax else float(scale), float(scale),
                 float(spec.low - point), float(spec.bound - point), point + shift, refuses)


class Layer(NamedTuple):
    """A layer's integers: see `operations.Conv`; `spread`: what becomes of its channels, if they are pixels.

    `z`: the window along the frames of volumes, whose taps are channels of the weight, see `volumes.Stacked`.
    """

    codes: Codes
    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    groups: int
    y: Window
    x: Window
    matrix: bool
    spread: Spread | None = None
    z: Window | None = None


def plane_windows_of(node: NodeLike, kernel: tuple[int, ...]) -> tuple[Window, Window] | None:
    """`windows_of` two axes."""
    found = windows_of(node, kernel) if len(kernel) == 2 else None
    return None if found is None else (found[0], found[1])


def windows_of(node: NodeLike, kernel: tuple[int, ...]) -> tuple[Window, ...] | None:
    """The two or three axes of a convolution or a pool; None if its attributes are invalid.

    A node may have one axis alone; then the other has one pixel.
    """
    count = len(kernel)
    numbers = {name: tuple(attribute(node, name, default)) for name, default in (
        ("strides", (1,) * count), ("dilations", (1,) * count), ("pads", (0,) * 2 * count), ("kernel_shape", kernel))}
    if count == 2 and kernel[0] == 1 and any(
            len(found) == (2 if name == "pads" else 1) for name, found in numbers.items()):
        numbers = {name: _with_row(found, name) for name, found in numbers.items()}
    auto = attribute(node, "auto_pad", "NOTSET")
    lengths = [len(each) for each in numbers.values()]
    if lengths != [count, count, 2 * count, count] or numbers["kernel_shape"] != kernel:
        return None
    if auto not in AUTO_PADS:
        return None
    pads = numbers["pads"] if auto in ("NOTSET", "") else (0,) * 2 * count
    same = auto if auto.startswith("SAME") else ""
    made = tuple(Window(kernel[i], numbers["strides"][i], numbers["dilations"][i], pads[i], pads[i + count], same)
                 for i in range(count))
    try:
        for each in made:
            each.check()
    except ValueError:
        return None
    return made


def _with_row(numbers: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The attribute of a node with one axis, with an axis of one pixel put in front."""
    if name == "pads":
        return (0, numbers[0], 0, numbers[1]) if len(numbers) == 2 else numbers
    return (1, *numbers) if len(numbers) == 1 else numbers


def layer_of(step: Any) -> Layer | None:
    """A step as integers, if a program can compute it with the same bits; else None."""
    layer = step.compute
    if not isinstance(layer, IntegerLayer):
        return None
    transposed = None
    if layer.node.op_type == "ConvTranspose":
        transposed = transposed_of(layer.node, layer.weight.array.shape[2:]) if layer.weight.order is None else None
        if transposed is None or not transposed.fits(layer.weight.array.shape):
            return None

    def rows_of(weight: NDArray[Any]) -> NDArray[Any]:
        planes = _planes(layer, weight)
        return planes if transposed is None else transposed.weight(planes)

    codes, spec = codes_of(layer.x), layer.weight.spec
    if spec.block is not None:
        return None
    if codes is None or codes.content != U8 or np.any(np.asarray(spec.zero_point or 0)) or spec.two_sided:
        return None
    matrix = layer.node.op_type in ("Gemm", "MatMul")
    rows = rows_of(layer.rows(layer.weight.array))
    if rows.ndim not in ((2,) if matrix else (4, 5)) or not rows.size:
        return None
    groups = 1 if matrix or transposed is not None else attribute(layer.node, "group", 1)
    if transposed is not None:
        windows: tuple[Window, ...] | None = transposed.windows
    else:
        windows = (Window(1), Window(1)) if matrix else windows_of(layer.node, rows.shape[2:])
    if windows is None or groups < 1 or rows.shape[0] % groups:
        return None
    weight = _integers(layer)
    if weight is None:
        return None
    values, weight_scale = weight
    values = rows_of(values)
    scale = layer_scale(np.float32(codes.div), weight_scale)
    bias = np.zeros(len(rows), np.float32) if layer.bias is None else np.ascontiguousarray(layer.bias, np.float32)
    if transposed is not None:
        scale, bias = (np.tile(each, len(rows) // each.size) for each in (scale, bias))
    if not (np.isfinite(scale).all() and (scale >= np.finfo(np.float32).tiny).all() and np.isfinite(bias).all()):
        return None
    values = values[:, :, None, None] if matrix else values
    if values.ndim == 5:  # of each pixel all taps along the frames
        values = values.transpose(0, 2, 1, 3, 4).reshape(len(values), -1, *values.shape[3:])
    values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    if values[0].size > MAX_PRODUCTS:
        return None
    *z, y, x = windows
    return Layer(codes, values, np.ascontiguousarray(np.broadcast_to(scale, len(rows)), np.float32), bias, groups,
                 y, x, matrix, None if transposed is None else transposed.spread, *z)


def _planes(layer: IntegerLayer, weight: NDArray[Any]) -> NDArray[Any]:
    """The weight of a convolution along one axis as that of images of one row."""
    return weight[:, :, None] if layer.node.op_type.startswith("Conv") and weight.ndim == 3 else weight


def _integers(layer: IntegerLayer) -> tuple[NDArray[np.int8], NDArray[Any]] | None:
    """The weight as int8 in the order of the library's layers, and its scales."""
    weight = layer.weight
    if not np.isfinite(weight.array).all() or (weight.spec.unsigned and np.any(weight.array < 0)):
        return None
    values, scale = integers(weight.array, weight.amax, weight.spec)
    values = layer.rows(values)
    if not np.isfinite(values).all() or values.max(initial=0) > 127:
        return None
    return values.astype(np.int8), np.asarray(scale).reshape(-1)

"""Convolutions and their adjoints in one, two and three dimensions: columns in C, and of float32 products as well."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _C
from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, IntOrInts, ShapeError, batched, integer, integers, same_floats
from .blockwise import blockwise_weight, is_blockwise, pixels_of_blocks
from .mirrored import folded, folded_weight, is_mirrored
from .windows import Window, col2im, im2col

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Padding = str | int | Sequence[int]

# Images are batched into one product until it is this many columns wide, or its columns take this many bytes.
COLUMNS = 2048
CHUNK = 4 << 20


def _check_weight(weight: Array, bias: Array | None, spatial: int, groups: int, outputs: int, what: str) -> None:
    if weight.ndim != spatial + 2:
        raise ShapeError(f"Expected {spatial + 2}D `weight` to {what}, got shape {weight.shape}")
    if 0 in weight.shape:
        raise ShapeError(f"Expected a `weight` that is not empty, got shape {weight.shape}")
    if weight.shape[0] % groups:
        raise ShapeError(f"Expected `weight` with a first size divisible by groups={groups}, got shape {weight.shape}")
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"Expected `bias` of shape ({outputs},) for `weight` of shape {weight.shape}, "
                         f"got {bias.shape}")


def _same_padding(x: Array, weight: Array, padding: str, stride: tuple[int, ...],
                  dilation: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """Resolves "valid" and "same"; where "same" needs one more element at the end, `x` is extended by it."""
    spatial = len(stride)
    if padding == "valid":
        return x, (0,) * spatial
    if padding != "same":
        raise ShapeError(f"Expected `padding` of numbers, 'same' or 'valid', got {shown(padding)}")
    if any(step != 1 for step in stride):
        raise ShapeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if any(t % 2 for t in total):
        x = np.pad(x, [(0, 0), (0, 0), *((0, t % 2) for t in total)])
    return x, tuple(t // 2 for t in total)


def _multiply_chunks(x: Array, window: Window, groups: int, shape: tuple[int, int],
                     product: Callable[[Array], Array]) -> Array:
    """(N, C, *size) to (N, groups, outputs, positions), a chunk of images at a time: `product` takes their columns,
    (groups, rows, positions of the chunk). shape: outputs and rows of a group."""
    count, (outputs, rows), positions = len(x), shape, math.prod(window.out)
    y = np.empty((count, groups, outputs, positions), x.dtype)
    step = _chunk(x, window, groups, rows)
    for begin in range(0, count, step):
        part = x[begin:begin + step]
        made = product(im2col(part, window).reshape(groups, rows, len(part) * positions))
        y[begin:begin + step] = made.reshape(groups, outputs, len(part), positions).transpose(2, 0, 1, 3)
    return y


def _chunk(x: Array, window: Window, groups: int, rows: int) -> int:
    """How many images are multiplied at a time."""
    positions = math.prod(window.out)
    return max(1, min(COLUMNS // max(1, positions), CHUNK // max(1, groups * rows * positions * x.itemsize)))


def _multiply(x: Array, weight: Array, window: Window, groups: int) -> Array:
    """(N, C, *size) and (groups, O / groups, C / groups * kernel) to (N, O, *out), a chunk of images at a time."""
    count, (_, outputs, rows), positions = len(x), weight.shape, math.prod(window.out)
    if window.trivial:
        y: Array = np.matmul(weight, x.reshape(count, groups, rows, positions))
    elif _chunk(x, window, groups, rows) == 1 or groups == count == 1:
        y = np.empty((count, groups, outputs, positions), x.dtype)
        for number in range(count):
            np.matmul(weight, im2col(x[number:number + 1], window).reshape(groups, rows, positions), out=y[number])
    else:
        y = _multiply_chunks(x, window, groups, (outputs, rows), lambda columns: np.matmul(weight, columns))
    return y.reshape(count, groups * outputs, *window.out)


def _multiply_floats(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """The same of float32, on our own product: each sum begins with the bias and goes tap by tap through the channels.

    So do those of a compiled program, with the same bits.
    """
    count, outputs, taps, positions = len(x), len(weight), math.prod(window.kernel), math.prod(window.out)
    rows = weight.shape[1] * taps
    w = weight.reshape(outputs, -1, taps)
    w = np.ascontiguousarray(w if 1 in w.shape[1:] else _C.transposed(w)).reshape(groups, outputs // groups, rows)
    start = np.zeros(outputs, np.float32) if bias is None else np.asarray(bias + np.float32(0))
    if window.trivial and (count == 1 or positions >= 64):
        y = _C.matmul(w, np.ascontiguousarray(x).reshape(count * groups, rows, positions), start)
    else:
        y = _multiply_chunks(x, window, groups, w.shape[1:], lambda columns: _C.matmul(w, columns, start, taps))
    return y.reshape(count, outputs, *window.out)


def _conv(spatial: int, input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, stride: IntOrInts,
          padding: Padding, dilation: IntOrInts, groups: int) -> Array:
    what = f"conv{spatial}d"
    (x, w, b), dtype = same_floats(input=input, weight=weight, bias=bias)
    x, single = batched(x, spatial, what)
    groups = integer(groups, "groups", 1)
    steps, dilations = integers(stride, spatial, "stride", 1), integers(dilation, spatial, "dilation", 1)
    _check_weight(w, b, spatial, groups, len(w) if w.ndim else 0, what)
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(f"Given groups={groups}, weight of size {w.shape}, expected `input` to have "
                         f"{w.shape[1] * groups} channels, got shape {x.shape}")
    if isinstance(padding, str):
        x, paddings = _same_padding(x, w, padding, steps, dilations)
    else:
        paddings = integers(padding, spatial, "padding", 0)
    window = Window(x.shape[2:], w.shape[2:], steps, paddings, dilations)
    if min(window.out) < 1:
        padded = tuple(n + 2 * p for n, p in zip(window.size, paddings, strict=True))
        raise ShapeError(f"Expected a kernel no larger than the padded `input` of {padded}, got {window.reach}")
    if x.dtype == np.float32 and spatial == 1 and dilations == (1,) and is_mirrored(w, groups):
        x = folded(x, w.shape[2], steps[0], paddings[0])
        y = _multiply_floats(x, folded_weight(w), b, Window(x.shape[2:], (1,), (1,), (0,), (1,)), 2)
    elif x.dtype == np.float32:
        y = _multiply_floats(x, w, b, window, groups)
    else:
        y = _multiply(x, w.reshape(groups, len(w) // groups, -1), window, groups)
        if b is not None:
            y += b.reshape(-1, *(1,) * spatial)
    y = y.astype(dtype, copy=False)
    return y[0] if single else y


def _transposed_size(window_in: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
                     extra: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the result of a transposed convolution."""
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, e, d in
                 zip(window_in, kernel, stride, padding, extra, dilation, strict=True))


def _spread(x: Array, weight: Array, window: Window, groups: int) -> Array:
    """(N, C, *out) and (groups, O / groups * kernel, C / groups) to (N, O, *size), a chunk of images at a time."""
    count, channels = x.shape[:2]
    positions, rows = math.prod(window.out), weight.shape[1]
    outputs = groups * rows // math.prod(window.kernel)
    y = np.empty((count, outputs, *window.size), x.dtype)
    step = max(1, CHUNK // max(1, groups * rows * positions * x.itemsize))
    for begin in range(0, count, step):
        part = x[begin:begin + step].reshape(-1, groups, channels // groups, positions)
        columns = np.matmul(weight, part).reshape(len(part) * outputs, -1, positions)
        planes = columns if window.trivial else col2im(columns, window)
        y[begin:begin + step] = planes.reshape(len(part), outputs, *window.size)
    return y


def _by_blocks(x: Array, weight: Array, bias: Array | None, stride: tuple[int, ...], padding: Sequence[int],
               size: tuple[int, ...]) -> Array:
    """The same of float32 as an ordinary convolution, see `blockwise`; a compiled program has its bits."""
    made = blockwise_weight(weight, stride)
    counts = made.shape[2:]
    window = Window(x.shape[2:], counts, (1,) * len(counts), tuple(n - 1 for n in counts), (1,) * len(counts))
    biases = None if bias is None else np.tile(bias, math.prod(stride))
    pixels = pixels_of_blocks(_multiply_floats(x, made, biases, window, 1), stride)
    kept = (slice(p, p + n) for p, n in zip(padding, size, strict=True))
    return np.ascontiguousarray(pixels[(slice(None), slice(None), *kept)])


def _conv_transpose(spatial: int, input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, stride: IntOrInts,
                    padding: IntOrInts, output_padding: IntOrInts, groups: int, dilation: IntOrInts) -> Array:
    what = f"conv_transpose{spatial}d"
    (x, w, b), dtype = same_floats(input=input, weight=weight, bias=bias)
    x, single = batched(x, spatial, what)
    groups = integer(groups, "groups", 1)
    steps, dilations = integers(stride, spatial, "stride", 1), integers(dilation, spatial, "dilation", 1)
    paddings, extra = integers(padding, spatial, "padding", 0), integers(output_padding, spatial, "output_padding", 0)
    _check_weight(w, b, spatial, groups, w.shape[1] * groups if w.ndim > 1 else 0, what)
    if x.shape[1] != w.shape[0]:
        raise ShapeError(f"Given transposed=1, weight of size {w.shape}, expected `input` to have "
                         f"{w.shape[0]} channels, got shape {x.shape}")
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, dilations, strict=True)):
        raise ShapeError(f"Expected `output_padding` smaller than stride {steps} or dilation {dilations}, got {extra}")
    size = _transposed_size(x.shape[2:], w.shape[2:], steps, paddings, extra, dilations)
    if min(size) < 1 or 0 in x.shape[2:]:
        raise ShapeError(f"Expected sizes that give an output, got {size} for `input` of shape {x.shape}")
    missing = [e - p for e, p in zip(extra, paddings, strict=True)]
    if x.dtype == np.float32 and is_blockwise(w.shape[2:], steps, dilations, groups, missing):
        y = _by_blocks(x, w, b, steps, paddings, size)
    else:
        window = Window(size, w.shape[2:], steps, paddings, dilations)
        window.out = x.shape[2:]  # output_padding may leave room for one more position: it stays unused
        flat = w.reshape(groups, len(w) // groups, -1).transpose(0, 2, 1)
        y = _spread(x, flat, window, groups)
        if b is not None:
            y += b.reshape(-1, *(1,) * spatial)
    y = y.astype(dtype, copy=False)
    return y[0] if single else y


_CONV = """{dimensions}D convolution (cross-correlation, as in torch).

    Args:
        input: (N, C, {sizes}) or (C, {sizes}).
        weight: (O, C / groups, {kernel}).
        bias: (O).
        stride, padding, dilation: one integer, or one for each dimension; `padding` also "valid" or "same".
        groups: divides the channels into groups that do not mix.

    Returns:
        (N, O, ...) or (O, ...) in the type of `input`. Half types are computed in float32 and rounded once.
    """

_TRANSPOSE = """{dimensions}D transposed convolution: the adjoint of `conv{dimensions}d` in its input.

    Args:
        input: (N, C, {sizes}) or (C, {sizes}).
        weight: (C, O / groups, {kernel}).
        bias: (O).
        stride, padding, dilation, groups: those of the convolution this is the adjoint of.
        output_padding: elements added to the end of the result, less than stride or dilation.

    Returns:
        (N, O, ...) or (O, ...) in the type of `input`.
    """


@traceable
def conv1d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
           padding: Padding = 0, dilation: IntOrInts = 1, groups: int = 1) -> Array:
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@traceable
def conv2d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
           padding: Padding = 0, dilation: IntOrInts = 1, groups: int = 1) -> Array:
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@traceable
def conv3d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
           padding: Padding = 0, dilation: IntOrInts = 1, groups: int = 1) -> Array:
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


@traceable
def conv_transpose1d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
                     padding: IntOrInts = 0, output_padding: IntOrInts = 0, groups: int = 1,
                     dilation: IntOrInts = 1) -> Array:
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@traceable
def conv_transpose2d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
                     padding: IntOrInts = 0, output_padding: IntOrInts = 0, groups: int = 1,
                     dilation: IntOrInts = 1) -> Array:
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@traceable
def conv_transpose3d(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: IntOrInts = 1,
                     padding: IntOrInts = 0, output_padding: IntOrInts = 0, groups: int = 1,
                     dilation: IntOrInts = 1) -> Array:
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _describe(function: Any, template: str, dimensions: int) -> None:
    sizes, kernel = ("L", "H, W", "D, H, W")[dimensions - 1], ("K", "KH, KW", "KD, KH, KW")[dimensions - 1]
    function.__doc__ = template.format(dimensions=dimensions, sizes=sizes, kernel=kernel)


for _dimensions, _functions in enumerate(((conv1d, conv_transpose1d), (conv2d, conv_transpose2d),
                                          (conv3d, conv_transpose3d)), 1):
    _describe(_functions[0], _CONV, _dimensions)
    _describe(_functions[1], _TRANSPOSE, _dimensions)

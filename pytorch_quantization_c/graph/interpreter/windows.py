"""Convolutions and pools."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...float_nn import functional as F
from .reductions import reduced
from .table import Array, Function, NodeLike, attribute, checked_shape, operator

__all__ = ["AUTO_PADS", "Geometry", "conv_geometry", "transposed_geometry"]

AUTO_PADS = ("", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MEAN = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class Geometry(NamedTuple):
    """One number for each spatial axis of a convolution or a pool; `extra` is a transposed one's output_padding."""

    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    extra: tuple[int, ...] = ()


def _numbers(node: NodeLike, name: str, spatial: int, default: int = 1) -> tuple[int, ...]:
    found = tuple(attribute(node, name, (default,) * spatial))
    if len(found) != spatial:
        raise ValueError(f"Expected `{name}` of {spatial} numbers, got {found}")
    return found


def _pads(node: NodeLike, size: Sequence[int], reach: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """Before and after each axis, `auto_pad` resolved."""
    spatial, auto = len(size), attribute(node, "auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = tuple(attribute(node, "pads", (0,) * 2 * spatial))
        if len(pads) != 2 * spatial:
            raise ValueError(f"Expected `pads` of {2 * spatial} numbers, got {pads}")
        return [(pads[i], pads[i + spatial]) for i in range(spatial)]
    if auto not in AUTO_PADS:
        raise ValueError(f"Expected `auto_pad` to be one of {', '.join(filter(None, AUTO_PADS))}, got {auto!r}")
    if auto == "VALID":
        return [(0, 0)] * spatial
    total = [max(0, (-(-n // s) - 1) * s + r - n) for n, r, s in zip(size, reach, stride, strict=True)]
    return [(t // 2, t - t // 2) if auto == "SAME_UPPER" else (t - t // 2, t // 2) for t in total]


def _window(node: NodeLike, size: Sequence[int], kernel: Sequence[int]) -> Geometry:
    spatial = len(size)
    stride, dilation = _numbers(node, "strides", spatial), _numbers(node, "dilations", spatial)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = _pads(node, size, reach, stride)
    return Geometry(stride, tuple(a for a, _ in pads), tuple(b for _, b in pads), dilation)


def _check_kernel(node: NodeLike, weight: Array) -> None:
    kernel = attribute(node, "kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        raise ValueError(f"Expected a weight with a kernel as `kernel_shape` {tuple(kernel)}, got shape {weight.shape}")


def conv_geometry(node: NodeLike, x: Array, weight: Array) -> Geometry:
    """The geometry of a Conv on an input and a weight of these shapes."""
    _check_kernel(node, weight)
    if x.ndim != weight.ndim:
        raise ValueError(f"Expected an input of {weight.ndim} dimensions for a weight of shape {weight.shape}, "
                         f"got shape {x.shape}")
    made = _window(node, x.shape[2:], weight.shape[2:])
    checked_shape([*x.shape[:2], *map(sum, zip(x.shape[2:], made.before, made.after, strict=True))])
    return made


@operator("Conv", floats=True)
def _conv(node: NodeLike, opset: int) -> Function:
    groups = attribute(node, "group", 1)

    def run(x: Array, weight: Array, bias: Any = None) -> Any:
        spatial, g = weight.ndim - 2, conv_geometry(node, x, weight)
        if spatial not in CONV:
            return NotImplemented
        if g.before == g.after and min(g.before) >= 0:
            padding = g.before
        else:
            x, padding = np.pad(x, [(0, 0), (0, 0), *zip(g.before, g.after, strict=True)]), (0,) * spatial
        return CONV[spatial](x, weight, bias, g.stride, padding, g.dilation, groups)
    return run


def transposed_geometry(node: NodeLike, x: Array, weight: Array) -> Geometry:
    """The geometry of a ConvTranspose; `output_shape` and `auto_pad` are resolved into pads."""
    _check_kernel(node, weight)
    if x.ndim != weight.ndim:
        raise ValueError(f"Expected an input of {weight.ndim} dimensions for a weight of shape {weight.shape}, "
                         f"got shape {x.shape}")
    spatial, size = x.ndim - 2, x.shape[2:]
    stride, dilation = _numbers(node, "strides", spatial), _numbers(node, "dilations", spatial)
    extra = _numbers(node, "output_padding", spatial, 0)
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    full = [(n - 1) * s + r + e for n, s, r, e in zip(size, stride, reach, extra, strict=True)]
    wanted, auto = attribute(node, "output_shape"), attribute(node, "auto_pad", "NOTSET")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if wanted is None:
        pads = _pads(node, size, reach, stride)
    else:
        total = [f - w for f, w in zip(full, wanted[-spatial:], strict=True)]
        pads = [(t // 2, t - t // 2) if auto == "SAME_UPPER" else (t - t // 2, t // 2) for t in total]
    return Geometry(stride, tuple(a for a, _ in pads), tuple(b for _, b in pads), dilation, extra)


@operator("ConvTranspose", floats=True)
def _conv_transpose(node: NodeLike, opset: int) -> Function:
    groups = attribute(node, "group", 1)

    def run(x: Array, weight: Array, bias: Any = None) -> Any:
        spatial, g = weight.ndim - 2, transposed_geometry(node, x, weight)
        if spatial not in CONV_TRANSPOSE or any(e >= max(s, d) for e, s, d in
                                                zip(g.extra, g.stride, g.dilation, strict=True)):
            return NotImplemented
        if g.before == g.after and min(g.before) >= 0:
            return CONV_TRANSPOSE[spatial](x, weight, bias, g.stride, g.before, g.extra, groups, g.dilation)
        y = CONV_TRANSPOSE[spatial](x, weight, bias, g.stride, 0, g.extra, groups, g.dilation)
        if min(g.before + g.after) < 0:
            return NotImplemented
        cut = (slice(a, n - b) for a, b, n in zip(g.before, g.after, y.shape[2:], strict=True))
        return y[(slice(None), slice(None), *cut)]
    return run


class _Pool(NamedTuple):
    """The windows of a pool: sizes before, padding up to the end of the last window, and how many windows."""

    geometry: Geometry
    kernel: tuple[int, ...]
    end: tuple[int, ...]
    out: tuple[int, ...]


def _pool(node: NodeLike, x: Array) -> _Pool:
    kernel = tuple(attribute(node, "kernel_shape"))
    if len(kernel) != x.ndim - 2:
        raise ValueError(f"Expected an input of {len(kernel) + 2} dimensions for kernel_shape {kernel}, "
                         f"got shape {x.shape}")
    g, ceil = _window(node, x.shape[2:], kernel), attribute(node, "ceil_mode", 0)
    end, out = [], []
    for n, k, s, a, b, d in zip(x.shape[2:], kernel, g.stride, g.before, g.after, g.dilation, strict=True):
        reach = (k - 1) * d + 1
        count = (-(-(n + a + b - reach) // s) if ceil else (n + a + b - reach) // s) + 1
        count -= ceil and (count - 1) * s >= n + a  # a window starts within the input or the padding before it
        if count < 1:
            raise ValueError(f"Expected an input large enough for kernel_shape {kernel}, got shape {x.shape}")
        out.append(int(count))
        end.append(max(b, (int(count) - 1) * s + reach - n - a))
    return _Pool(g, kernel, tuple(end), tuple(out))


def _folded(x: Array, pool: _Pool, combine: Any) -> Array:
    """The elements of each window of a padded array, combined one axis after the other, the last first."""
    for axis in range(x.ndim - 1, 1, -1):
        i, total = axis - 2, None
        for k in range(pool.kernel[i]):
            start = k * pool.geometry.dilation[i]
            stop = start + (pool.out[i] - 1) * pool.geometry.stride[i] + 1
            part = x[(slice(None),) * axis + (slice(start, stop, pool.geometry.stride[i]),)]
            total = part.copy() if total is None else combine(total, part, out=total)
        assert total is not None
        x = total
    return x


def _padded(x: Array, pool: _Pool, fill: Any) -> Array:
    amounts = [(0, 0), (0, 0), *zip(pool.geometry.before, pool.end, strict=True)]
    checked_shape([n + a + b for n, (a, b) in zip(x.shape, amounts, strict=True)])
    return np.pad(x, amounts, constant_values=fill) if any(map(any, amounts)) else x


@operator("MaxPool")
def _max_pool(node: NodeLike, opset: int) -> Function | None:
    if len(node.outputs) > 1 and node.outputs[1].name:
        return None

    def run(x: Array) -> Any:
        if x.dtype.char not in "fdbB":
            return NotImplemented
        pool = _pool(node, x)
        low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return _folded(_padded(x, pool, low), pool, np.maximum)
    return run


@operator("AveragePool", floats=True)
def _average_pool(node: NodeLike, opset: int) -> Function:
    with_pad = bool(attribute(node, "count_include_pad", 0))

    def run(x: Array) -> Array:
        pool = _pool(node, x)
        y = _folded(_padded(x, pool, 0), pool, np.add)
        counts: Array = np.ones((), np.int64)
        for i, n in enumerate(x.shape[2:]):
            before, after = pool.geometry.before[i], pool.geometry.after[i]
            places = (np.arange(pool.out[i])[:, None] * pool.geometry.stride[i] - before
                      + np.arange(pool.kernel[i])[None] * pool.geometry.dilation[i])
            inside = (places >= -before) & (places < n + after) if with_pad else (places >= 0) & (places < n)
            counts = counts[..., None] * inside.sum(axis=1)
        y /= counts.astype(x.dtype)
        return y
    return run


@operator("GlobalAveragePool", floats=True)
def _global_average_pool(node: NodeLike, opset: int) -> Function:
    def run(x: Array) -> Any:
        spatial = x.ndim - 2
        if 0 in x.shape[:2] and 0 not in x.shape[2:]:
            return np.zeros((*x.shape[:2], *(1,) * spatial), x.dtype)
        return MEAN[spatial](x, 1) if spatial in MEAN and math.prod(x.shape) else NotImplemented
    return run


@operator("GlobalMaxPool")
def _global_max_pool(node: NodeLike, opset: int) -> Function:
    return lambda x: reduced("max", x, range(2, x.ndim), True) if x.size else NotImplemented

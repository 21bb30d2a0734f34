"""The formulas in plain NumPy: what the kernels are held against. Nothing here calls the library."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

TINY = np.float32(2.0 ** -24)


def floats(x: Any) -> Any:
    """float64 stays, everything else becomes float32."""
    x = np.asarray(x)
    return x if x.dtype == np.float64 else x.astype(np.float32)


def integer(x: Any, amax: Any, num_bits: int = 8, unsigned: bool = False, narrow_range: bool = True) -> Any:
    """(integers, fakes, scale): computed in float32, for float64 inputs in float64, rounded once to the inputs' type.

    The scale of float64 inputs has the precision of amax.
    """
    x = np.asarray(x)
    work = floats(x)
    with np.errstate(all="ignore"):
        limit = np.asarray(amax)
        limit = limit.astype(np.float64 if limit.dtype == work.dtype == np.float64 else np.float32)
        bound = limit.dtype.type(2.0 ** (num_bits - 1 + bool(unsigned)) - 1)
        low = limit.dtype.type(0) if unsigned else -bound if narrow_range else -bound - 1
        zero = limit <= TINY
        scale = np.where(zero, 0, bound / limit).astype(work.dtype)
        whole = np.clip(np.rint(work * scale), low, bound) if num_bits else np.zeros_like(work * scale)
        scale = np.where(zero, 1, scale).astype(work.dtype)
        return tuple(np.asarray(each, work.dtype).astype(x.dtype) for each in (whole, whole / scale, scale))


def e4m3(x: Any, amax: Any = None) -> Any:
    """Scaled rounding to E4M3, by ml_dtypes' conversion."""
    x = np.asarray(x)
    work = floats(x)
    with np.errstate(all="ignore"):
        limit = np.asarray(448 if amax is None else amax)
        limit = limit.astype(np.float64 if limit.dtype == work.dtype == np.float64 else np.float32)
        scale = 1 / limit * 448 if amax is not None else limit.dtype.type(1)
        y = np.clip(work * scale, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(work.dtype) / scale
        return np.where(np.abs(work) < TINY, 0, y).astype(x.dtype)


def affine(x: Any, low: Any, high: Any, num_bits: int) -> Any:
    """Fake quantisation with a zero point."""
    x = np.asarray(x)
    work = floats(x)
    with np.errstate(all="ignore"):
        low, high = np.asarray(low, work.dtype), np.asarray(high, work.dtype)
        step = (high - low) / work.dtype.type(2.0 ** num_bits - 1)
        least, most = work.dtype.type(-2.0 ** (num_bits - 1)), work.dtype.type(2.0 ** (num_bits - 1) - 1)
        zero = np.rint(low / step) - least
        return ((np.clip(np.rint(work / step) - zero, least, most) + zero) * step).astype(x.dtype)


def largest(x: Any, kept: Any = None) -> Any:
    """Largest |x| over every axis but `kept`, dimensions kept; over everything, 0-d, without `kept`."""
    x = np.abs(np.asarray(x))
    if kept is None:
        return np.asarray(x.max())
    kept = {axis % x.ndim for axis in kept}
    return x.max(tuple(axis for axis in range(x.ndim) if axis not in kept), keepdims=True)


def ste(x: Any, amax: Any, grad: Any) -> Any:
    """The gradient where |x| <= amax, else 0."""
    return np.where(np.abs(np.asarray(x)) <= np.asarray(amax), grad, np.zeros_like(grad))


def clip(x: Any, low: Any, high: Any) -> Any:
    """max(min(x, high), low) in the type of x."""
    x = np.asarray(x)
    return np.maximum(np.minimum(x, np.asarray(high, x.dtype)), np.asarray(low, x.dtype))


def convolve(x: Any, weight: Any, bias: Any = None, stride: int = 1, dilation: int = 1, groups: int = 1) -> Any:
    """Convolution without padding, summed in float64, in the type of x: (N, C, *sizes), (O, C / groups, *kernel)."""
    kernel, outputs = weight.shape[2:], weight.shape[0] // groups
    sizes = [(size - dilation * (k - 1) - 1) // stride + 1 for size, k in zip(x.shape[2:], kernel, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *sizes))
    for group in range(groups):
        own = slice(group * outputs, (group + 1) * outputs)
        w = weight[own].astype(np.float64)
        part = x[:, group * w.shape[1]:(group + 1) * w.shape[1]].astype(np.float64)
        for at in np.ndindex(*kernel):
            window = tuple(slice(dilation * k, dilation * k + stride * (n - 1) + 1, stride)
                           for k, n in zip(at, sizes, strict=True))
            y[:, own] += np.einsum("nc...,oc->no...", part[(slice(None), slice(None), *window)], w[(..., *at)])
    return (y if bias is None else y + bias.reshape(-1, *[1] * len(kernel))).astype(x.dtype)


def convolve_transposed(x: Any, weight: Any, bias: Any = None, stride: int = 1, dilation: int = 1, groups: int = 1,
                        output_padding: int = 0) -> Any:
    """The adjoint of `convolve`, summed in float64, in the type of x: (N, C, *sizes), (C, O / groups, *kernel)."""
    kernel, inputs, outputs = weight.shape[2:], weight.shape[0] // groups, weight.shape[1]
    sizes = [(n - 1) * stride + dilation * (k - 1) + 1 + output_padding
             for n, k in zip(x.shape[2:], kernel, strict=True)]
    y = np.zeros((x.shape[0], outputs * groups, *sizes))
    for group in range(groups):
        own = slice(group * inputs, (group + 1) * inputs)
        for at in np.ndindex(*kernel):
            window = tuple(slice(dilation * k, dilation * k + stride * (n - 1) + 1, stride)
                           for k, n in zip(at, x.shape[2:], strict=True))
            y[(slice(None), slice(group * outputs, (group + 1) * outputs), *window)] += np.einsum(
                "nc...,co->no...", x[:, own].astype(np.float64), weight[(own, slice(None), *at)].astype(np.float64))
    return (y if bias is None else y + bias.reshape(-1, *[1] * len(kernel))).astype(x.dtype)


def same(got: Any, wanted: Any) -> None:
    """Same type, shape and numbers; NaN equals NaN."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, (got.dtype, got.shape, wanted.dtype, wanted.shape)
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    good = (a == b) | (np.isnan(a) & np.isnan(b))
    assert good.all(), f"{np.count_nonzero(~good)} differ, first {got[~good][0]!r} instead of {wanted[~good][0]!r}"

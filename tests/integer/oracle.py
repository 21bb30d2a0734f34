"""The integer layer in int64 NumPy, tap by tap; and what float32 may do to its result."""
from itertools import product

import numpy as np

from pytorch_quantization_c.integer import Geometry, Int


def bounds(f: Int) -> tuple[int, int]:
    high = 2 ** (f.bits - 1 + f.unsigned) - 1
    return (0 if f.unsigned else -high - (not f.narrow)), high


def scale_of(amax, f: Int) -> np.float32:
    return np.float32(bounds(f)[1]) / np.float32(amax)


def quantized(x, amax, f: Int):
    """int64; the product is rounded to float32 first, as the quantiser's contract says."""
    low, high = bounds(f)
    return np.clip(np.rint(x.astype(np.float32) * scale_of(amax, f)), low, high).astype(np.int64)


def linear(x, w):
    return x @ w.T


def conv(x, w, g: Geometry):
    """x (batch, in, *sizes), w (out, in / groups, *kernel), both int64."""
    axes = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *zip(g.before, g.after, strict=True)])
    out = [(x.shape[2 + i] - g.dilation[i] * (w.shape[2 + i] - 1) - 1) // g.stride[i] + 1 for i in range(axes)]
    xs, ws = np.split(x, g.groups, 1), np.split(w, g.groups, 0)
    results = []
    for xg, wg in zip(xs, ws, strict=True):
        y = np.zeros((x.shape[0], wg.shape[0], *out), np.int64)
        for tap in product(*map(range, w.shape[2:])):
            at = tuple(slice(t * d, t * d + (o - 1) * s + 1, s)
                       for t, d, o, s in zip(tap, g.dilation, out, g.stride, strict=True))
            y += np.einsum("nc...,oc->no...", xg[(slice(None), slice(None), *at)], wg[(slice(None), slice(None), *tap)])
        results.append(y)
    return np.concatenate(results, 1)


def conv_transpose(x, w, g: Geometry):
    """x (batch, in, *sizes), w (in, out / groups, *kernel), both int64: every input is scattered."""
    axes = x.ndim - 2
    full = [(x.shape[2 + i] - 1) * g.stride[i] + g.dilation[i] * (w.shape[2 + i] - 1) + 1 + g.output_padding[i]
            for i in range(axes)]
    results = []
    for xg, wg in zip(np.split(x, g.groups, 1), np.split(w, g.groups, 0), strict=True):
        y = np.zeros((x.shape[0], w.shape[1], *full), np.int64)
        for tap in product(*map(range, w.shape[2:])):
            at = tuple(slice(t * d, t * d + (n - 1) * s + 1, s)
                       for t, d, n, s in zip(tap, g.dilation, x.shape[2:], g.stride, strict=True))
            y[(slice(None), slice(None), *at)] += np.einsum("nc...,co->no...", xg, wg[(slice(None), slice(None), *tap)])
        results.append(y)
    kept = tuple(slice(b, f - a) for b, a, f in zip(g.before, g.after, full, strict=True))
    return np.concatenate(results, 1)[(slice(None), slice(None), *kept)]


def dequantized(total, scale_x, scale_w, bias, channel_axis):
    """The contract's roundings, exactly: the sum to float32, the scale from float64, one fused multiply-add."""
    shape = [1] * total.ndim
    shape[channel_axis] = -1
    inverse = (1.0 / np.float64(scale_x)) * (1.0 / scale_w.astype(np.float64))
    scale = inverse.astype(np.float32).reshape(shape)
    exact = total.astype(np.float32).astype(np.longdouble) * scale.astype(np.longdouble)
    return (exact + bias.reshape(shape).astype(np.longdouble)).astype(np.float32)

"""Normalisation by batch, instance, group and layer statistics, which are summed in float64."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _C
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, float_array, integer, integers, number, working

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


def _opened(input: ArrayLike) -> tuple[Array, np.dtype[Any]]:
    """The input in the type to work in, and the type of the result."""
    x = float_array(input, "input")
    return x.astype(working(x.dtype), copy=False), x.dtype


def _vector(value: ArrayLike | None, name: str, shape: tuple[int, ...]) -> Array | None:
    if value is None:
        return None
    array = float_array(value, name)
    if array.shape != shape:
        raise ShapeError(f"Expected `{name}` of shape {shape}, got {array.shape}")
    return array


def _statistics(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance over the axes, which stay with size 1, as float64."""
    mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
    centred = x - mean.astype(x.dtype)
    variance: Array = np.square(centred, out=centred).mean(axis=axes, keepdims=True, dtype=np.float64)
    return mean, variance


def norm_factor(variance: Array, weight: Array | None, eps: float) -> NDArray[np.float64]:
    """weight / sqrt(variance + eps), what normalising multiplies a centred value by."""
    factor: NDArray[np.float64] = 1.0 / np.sqrt(variance.astype(np.float64) + number(eps, "eps"))
    return factor if weight is None else factor * weight.astype(np.float64)


def _normalised(x: Array, mean: Array, variance: Array, weight: Array | None, bias: Array | None, eps: float,
                dtype: np.dtype[Any]) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias; all but x broadcast to it."""
    y: Array = x - mean.astype(x.dtype)
    y *= norm_factor(variance, weight, eps).astype(x.dtype)
    if bias is not None:
        y += bias.astype(x.dtype)
    return y.astype(dtype, copy=False)


def _groups_normalised(x: Array, groups: int, weight: Array | None, bias: Array | None, eps: float,
                       dtype: np.dtype[Any]) -> Array:
    """(N, C, ...) with mean 0 and variance 1 of each group of channels, times and plus a number for each channel.

    Of float32 in C, as rows of `layer_norm`.
    """
    grouped = x.reshape(x.shape[0] * groups, -1)
    if x.dtype == np.float32:
        y = np.asarray(_C.layer_norm(grouped, None, None, number(eps, "eps")))
    else:
        y = _normalised(grouped, *_statistics(grouped, (1,)), None, None, eps, x.dtype)
    y, (_, wide) = y.reshape(x.shape), _channels(x)
    if weight is not None:
        y *= weight.astype(x.dtype).reshape(wide)
    if bias is not None:
        y += bias.astype(x.dtype).reshape(wide)
    return y.astype(dtype, copy=False)


def _update(momentum: float, *statistics: tuple[str, ArrayLike | None, Array]) -> None:
    """Updates running statistics in place: all or none of them."""
    momentum = number(momentum, "momentum")
    for name, given, _ in statistics:
        if given is not None and not isinstance(given, np.ndarray):
            raise TypeError(f"Expected `{name}` to be an array, got {type(given).__name__}")
        if given is not None and not given.flags.writeable:
            raise ValueError(f"Expected `{name}` to be writeable, got a read-only array")
    for _, given, value in statistics:
        if isinstance(given, np.ndarray):
            given[...] = (1 - momentum) * given.astype(np.float64) + momentum * value


def _channels(x: Array, name: str = "input") -> tuple[int, tuple[int, ...]]:
    """The number of channels, and the shape in which a vector of them broadcasts to x."""
    if x.ndim < 2:
        raise ShapeError(f"Expected `{name}` with at least 2 dimensions, got shape {x.shape}")
    return x.shape[1], (1, -1, *(1,) * (x.ndim - 2))


@traceable
def batch_norm(input: ArrayLike, running_mean: ArrayLike | None, running_var: ArrayLike | None,
               weight: ArrayLike | None = None, bias: ArrayLike | None = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """Ioffe and Szegedy 2015: each channel with mean 0 and variance 1, then times weight plus bias.

    Args:
        input: (N, C, ...).
        running_mean, running_var: (C). Used if not training; if training they are moved in place by `momentum`
            towards the batch's mean and unbiased variance, unless they are None.
        weight, bias: (C).
        eps: added to the variance.
    """
    x, dtype = _opened(input)
    count, wide = _channels(x)
    mean, variance = _vector(running_mean, "running_mean", (count,)), _vector(running_var, "running_var", (count,))
    w, b = _vector(weight, "weight", (count,)), _vector(bias, "bias", (count,))
    if training:
        axes = (0, *range(2, x.ndim))
        size = math.prod(x.shape[axis] for axis in axes)
        if size == 1:
            raise ShapeError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        if size == 0:
            return x.astype(dtype)
        new_mean, new_variance = _statistics(x, axes)
        _update(momentum, ("running_mean", running_mean, new_mean.reshape(-1)),
                ("running_var", running_var, new_variance.reshape(-1) * (size / (size - 1))))
    else:
        if mean is None or variance is None:
            raise ShapeError("Expected `running_mean` and `running_var` when not training, got None")
        new_mean, new_variance = mean.reshape(wide), variance.reshape(wide)
    w, b = (None if each is None else each.reshape(wide) for each in (w, b))
    return _normalised(x, new_mean, new_variance, w, b, eps, dtype)


@traceable
def instance_norm(input: ArrayLike, running_mean: ArrayLike | None = None, running_var: ArrayLike | None = None,
                  weight: ArrayLike | None = None, bias: ArrayLike | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """Ulyanov et al. 2016: as `batch_norm`, with statistics of each channel of each instance.

    With `use_input_stats=False` the running statistics are used; else they are moved in place towards the mean of the
    instances' statistics, unless they are None.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x, dtype = _opened(input)
    count, _ = _channels(x)
    _vector(running_mean, "running_mean", (count,))
    _vector(running_var, "running_var", (count,))
    w, b = _vector(weight, "weight", (count,)), _vector(bias, "bias", (count,))
    size = math.prod(x.shape[2:])
    if size == 1:
        raise ShapeError(f"Expected more than 1 spatial element when training, got input size {x.shape}")
    if x.size == 0:
        return x.astype(dtype)
    if running_mean is not None or running_var is not None:
        new_mean, new_variance = _statistics(x, tuple(range(2, x.ndim)))
        _update(momentum, ("running_mean", running_mean, new_mean.reshape(-1, count).mean(axis=0)),
                ("running_var", running_var, new_variance.reshape(-1, count).mean(axis=0) * (size / (size - 1))))
    return _groups_normalised(x, count, w, b, eps, dtype)


@traceable
def group_norm(input: ArrayLike, num_groups: int, weight: ArrayLike | None = None, bias: ArrayLike | None = None,
               eps: float = 1e-5) -> Array:
    """Wu and He 2018: (N, C, ...) with statistics of each of `num_groups` groups of channels of each instance."""
    x, dtype = _opened(input)
    count, _ = _channels(x)
    groups = integer(num_groups, "num_groups", 1)
    if count % groups:
        raise ShapeError(f"Expected number of channels in input to be divisible by num_groups, got shape {x.shape} "
                         f"and num_groups={groups}")
    w, b = _vector(weight, "weight", (count,)), _vector(bias, "bias", (count,))
    if x.size == 0:
        return x.astype(dtype)
    return _groups_normalised(x, groups, w, b, eps, dtype)


@traceable
def layer_norm(input: ArrayLike, normalized_shape: int | Sequence[int], weight: ArrayLike | None = None,
               bias: ArrayLike | None = None, eps: float = 1e-5) -> Array:
    """Ba et al. 2016: statistics over the last dimensions, whose sizes `normalized_shape` gives."""
    x, dtype = _opened(input)
    single = not isinstance(normalized_shape, Sequence)
    count = 1 if single else len(normalized_shape)  # type: ignore[arg-type]
    if count > x.ndim:
        raise ShapeError(f"Expected `normalized_shape` with at most the {x.ndim} sizes of `input`, got {count}")
    shape = integers(normalized_shape, count, "normalized_shape", 0)
    if not shape:
        raise ShapeError("Expected `normalized_shape` with at least one number, got none")
    if x.ndim < count or x.shape[x.ndim - count:] != shape:
        raise ShapeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, "
                         f"{', '.join(map(str, shape))}], but got {x.shape}")
    w, b = _vector(weight, "weight", shape), _vector(bias, "bias", shape)
    if x.size == 0:
        return x.astype(dtype)
    if x.dtype == np.float32:
        w, b = (None if each is None else each.astype(np.float32, copy=False).reshape(-1) for each in (w, b))
        rows = _C.layer_norm(x.reshape(-1, math.prod(shape)), w, b, number(eps, "eps"))
        return rows.reshape(x.shape).astype(dtype, copy=False)
    mean, variance = _statistics(x, tuple(range(x.ndim - count, x.ndim)))
    y = _normalised(x, mean, variance, None, None, eps, x.dtype)
    if w is not None:
        y *= w.astype(x.dtype)
    if b is not None:
        y += b.astype(x.dtype)
    return y.astype(dtype, copy=False)

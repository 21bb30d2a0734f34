"""Losses, for evaluation only: there are no gradients."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, DTypeError, ShapeError, float_array, number, rounded, same_floats
from ..parameter import as_plain
from .activation import log_softmax

__all__ = ["cross_entropy", "l1_loss", "mse_loss", "nll_loss"]


def _reduction(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The name of the reduction; older code passes the two flags instead."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    if reduction not in ("none", "sum", "mean"):
        text = reduction if isinstance(reduction, str) and len(reduction) < 60 else shown(reduction)
        raise ValueError(f"{text} is not a valid value for reduction")
    return reduction


def _reduced(losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    with np.errstate(invalid="ignore"):
        total = losses.sum(dtype=np.float64)
        result = total if reduction == "sum" else total / np.float64(losses.size)
    return np.asarray(result, dtype=losses.dtype)


def _pair(input: ArrayLike, target: ArrayLike) -> tuple[Array, np.dtype[Any]]:
    """input - target and the type of the result; shapes must be equal or broadcast."""
    (x, y), dtype = same_floats(input=input, target=target)
    try:
        return x - y, dtype
    except ValueError:
        raise ShapeError(f"Expected `target` of shape {x.shape} as `input`, got {y.shape}") from None


@traceable
def mse_loss(input: ArrayLike, target: ArrayLike, size_average: bool | None = None, reduce: bool | None = None,
             reduction: str = "mean") -> Array:
    """The squared differences, their sum or their mean."""
    difference, dtype = _pair(input, target)
    return rounded(_reduced(np.square(difference), _reduction(reduction, size_average, reduce)), dtype)


@traceable
def l1_loss(input: ArrayLike, target: ArrayLike, size_average: bool | None = None, reduce: bool | None = None,
            reduction: str = "mean") -> Array:
    """The absolute differences, their sum or their mean."""
    difference, dtype = _pair(input, target)
    return rounded(_reduced(np.abs(difference), _reduction(reduction, size_average, reduce)), dtype)


def _class_weights(weight: ArrayLike | None, classes: int, dtype: np.dtype[Any]) -> Array:
    if weight is None:
        return np.ones(classes, dtype)
    array = float_array(weight, "weight")
    if array.shape != (classes,):
        raise ShapeError(f"Expected `weight` of shape ({classes},), got {array.shape}")
    return array.astype(dtype, copy=False)


def _indices(x: Array, target: ArrayLike, ignore_index: int) -> tuple[Array, Array]:
    """The classes as int64, 0 where ignored, and the mask of those that count."""
    indices = np.asarray(as_plain(target))
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"Expected `target` of an integer type, got {indices.dtype}")
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if indices.shape != expected:
        raise ShapeError(f"Expected `target` of shape {expected} for `input` of shape {x.shape}, got {indices.shape}")
    kept = indices != ignore_index
    outside = kept & ((indices < 0) | (indices >= x.shape[min(1, x.ndim - 1)]))
    if outside.any():
        raise IndexError(f"Target {indices[outside][0]} is out of bounds.")
    return np.where(kept, indices, 0).astype(np.int64), kept


def _weighted(losses: Array, weights: Array, reduction: str) -> Array:
    """Reduces losses that carry weights already; the mean is by the sum of weights."""
    if reduction != "mean":
        return _reduced(losses, reduction)
    with np.errstate(invalid="ignore"):
        mean = losses.sum(dtype=np.float64) / weights.sum(dtype=np.float64)
    return np.asarray(mean, dtype=losses.dtype)


@traceable
def nll_loss(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, size_average: bool | None = None,
             ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean") -> Array:
    """Minus the input's element of the target's class.

    Args:
        input: logarithms of probabilities, (N, C), (N, C, ...) or (C).
        target: classes in [0, C), of the shape of `input` without C.
        weight: (C), by which losses are multiplied; the mean is weighted too.
        ignore_index: a class that counts nothing.
        reduction: "mean", "sum" or "none".
    """
    (x,), dtype = same_floats(input=input)
    if x.ndim == 0:
        raise ShapeError("Expected `input` with at least 1 dimension, got a number")
    kind = _reduction(reduction, size_average, reduce)
    indices, kept = _indices(x, target, ignore_index)
    axis = min(1, x.ndim - 1)
    weights = np.where(kept, _class_weights(weight, x.shape[axis], x.dtype)[indices], x.dtype.type(0))
    picked = np.take_along_axis(x, np.expand_dims(indices, axis), axis).squeeze(axis)
    losses = np.where(kept, -picked * weights, x.dtype.type(0))
    return rounded(_weighted(losses, weights, kind), dtype)


@traceable
def cross_entropy(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None,
                  size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Array:
    """`nll_loss` of `log_softmax`; `target` may also hold the probability of each class, in the shape of `input`.

    label_smoothing: the part of the target, in [0, 1], that is spread evenly over all classes.
    """
    if not 0.0 <= number(label_smoothing, "label_smoothing") <= 1.0:
        raise ShapeError(f"Expected `label_smoothing` in [0, 1], got {label_smoothing}")
    (x,), dtype = same_floats(input=input)
    if x.ndim == 0:
        raise ShapeError("Expected `input` with at least 1 dimension, got a number")
    axis = min(1, x.ndim - 1)
    logs, kind = log_softmax(x, axis), _reduction(reduction, size_average, reduce)
    classes = x.shape[axis]
    wide = _class_weights(weight, classes, x.dtype).reshape(-1, *(1,) * max(0, x.ndim - 2))
    given = np.asarray(as_plain(target))
    if given.shape == x.shape and given.dtype.kind not in "iu":
        parts = float_array(given, "target").astype(x.dtype) * (1 - label_smoothing) + label_smoothing / classes
        losses = np.asarray(-(logs * wide * parts.astype(x.dtype)).sum(axis=axis))
        count = x.size // max(1, classes)
        return (_reduced(losses, kind) if kind != "mean" else
                np.asarray(losses.sum(dtype=np.float64) / count, x.dtype)).astype(dtype, copy=False)
    indices, kept = _indices(x, given, ignore_index)
    weights = np.where(kept, wide.reshape(-1)[indices], x.dtype.type(0))
    picked = -np.take_along_axis(logs, np.expand_dims(indices, axis), axis).squeeze(axis) * weights
    spread = np.where(kept, -(logs * wide).sum(axis=axis), 0) / classes
    losses = np.where(kept, (1 - label_smoothing) * picked + label_smoothing * spread, 0).astype(x.dtype)
    return rounded(_weighted(losses, weights, kind), dtype)

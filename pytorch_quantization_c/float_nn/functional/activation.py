"""Elementwise functions, and softmax."""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.exceptions import AxisError
from numpy.typing import ArrayLike, DTypeLike

from ... import _C
from ..._core.errors import shown
from ..._core.tracing import traceable
from ..checks import Array, ShapeError, factory, float_array, integer, number, rounded, same_floats, working
from .special import erf

__all__ = ["elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax", "relu",
           "relu6", "sigmoid", "silu", "softmax", "softplus", "tanh"]


def _finish(input: ArrayLike, result: Array, inplace: bool) -> Array:
    """The result, or `input` itself with the result written into it."""
    if not inplace:
        return result
    if not isinstance(input, np.ndarray):
        raise TypeError(f"Expected `input` to be an array for inplace=True, got {type(input).__name__}")
    np.copyto(input, result)
    return input


@traceable
def relu(input: ArrayLike, inplace: bool = False) -> Array:
    """max(x, 0); NaN stays NaN."""
    (x,), dtype = same_floats(input=input)
    return _finish(input, rounded(np.maximum(x, x.dtype.type(0)), dtype), inplace)


@traceable
def hardtanh(input: ArrayLike, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """x clipped to [min_val, max_val]; NaN stays NaN."""
    if number(min_val, "min_val") > number(max_val, "max_val"):
        raise ValueError(f"Expected `min_val` <= `max_val`, got {min_val} and {max_val}")
    (x,), dtype = same_floats(input=input)
    return _finish(input, rounded(np.clip(x, x.dtype.type(min_val), x.dtype.type(max_val)), dtype), inplace)


@traceable
def relu6(input: ArrayLike, inplace: bool = False) -> Array:
    """x clipped to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


@traceable
def leaky_relu(input: ArrayLike, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """x where x > 0, else negative_slope * x."""
    (x,), dtype = same_floats(input=input)
    below = x * x.dtype.type(number(negative_slope, "negative_slope"))
    return _finish(input, rounded(np.where(x > 0, x, below), dtype), inplace)


def expm1_below_zero(x: Array) -> Array:
    """exp(x) - 1 of what is not above 0: by 2 t / (1 - t) with t = tanh(x / 2), of float32 within 2.5 ulp."""
    if x.dtype != np.float32:
        return np.asarray(np.expm1(x))
    t, kind = _C.tanh(x * np.float32(0.5)), np.float32
    return np.asarray(t * kind(2) / (kind(1) - t))


@traceable
def elu(input: ArrayLike, alpha: float = 1.0, inplace: bool = False) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    (x,), dtype = same_floats(input=input)
    zero = x.dtype.type(0)
    below = x.dtype.type(number(alpha, "alpha")) * expm1_below_zero(np.minimum(x, zero))
    return _finish(input, rounded(np.maximum(x, zero) + below, dtype), inplace)


@traceable
def sigmoid(input: ArrayLike) -> Array:
    """1 / (1 + exp(-x))."""
    (x,), dtype = same_floats(input=input)
    return rounded(_C.sigmoid(x), dtype)


@traceable
def tanh(input: ArrayLike) -> Array:
    """The hyperbolic tangent."""
    (x,), dtype = same_floats(input=input)
    return rounded(_C.tanh(x), dtype)


@traceable
def silu(input: ArrayLike, inplace: bool = False) -> Array:
    """x * sigmoid(x)."""
    (x,), dtype = same_floats(input=input)
    return _finish(input, rounded((x * _C.sigmoid(x)), dtype), inplace)


@traceable
def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold."""
    (x,), dtype = same_floats(input=input)
    beta, threshold = number(beta, "beta"), number(threshold, "threshold")
    scaled = x * x.dtype.type(beta)
    with np.errstate(invalid="ignore"):  # NaN is expected here
        curve = np.logaddexp(x.dtype.type(0), scaled) / x.dtype.type(beta)
    return rounded(np.where(scaled > threshold, x, curve), dtype)


@traceable
def gelu(input: ArrayLike, approximate: str = "none") -> Array:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016); "tanh" takes their approximation."""
    (x,), dtype = same_floats(input=input)
    kind = x.dtype.type
    if approximate == "none":
        result = np.asarray(erf(x * kind(math.sqrt(0.5))))
        result += kind(1)
        result *= x
        result *= kind(0.5)
    elif approximate == "tanh":
        inner = kind(math.sqrt(2.0 / math.pi)) * (x + kind(0.044715) * x * x * x)
        result = kind(0.5) * x * (kind(1) + _C.tanh(inner))
    else:
        raise ShapeError(f"Expected `approximate` 'none' or 'tanh', got {shown(approximate)}")
    return rounded(result, dtype)


@traceable
def hardsigmoid(input: ArrayLike, inplace: bool = False) -> Array:
    """x + 3 clipped to [0, 6], divided by 6."""
    (x,), dtype = same_floats(input=input)
    kind = x.dtype.type
    return _finish(input, rounded((np.clip(x + kind(3), kind(0), kind(6)) / kind(6)), dtype), inplace)


@traceable
def hardswish(input: ArrayLike, inplace: bool = False) -> Array:
    """x * hardsigmoid(x)."""
    (x,), dtype = same_floats(input=input)
    kind = x.dtype.type
    return _finish(input, rounded((x * np.clip(x + kind(3), kind(0), kind(6)) / kind(6)), dtype), inplace)


def _shifted(x: Array, axis: int) -> Array:
    """x minus its maximum along the axis."""
    return x - x.max(axis=axis, keepdims=True) if x.size else x


def _opened(input: ArrayLike, dim: int | None, dtype: DTypeLike | None) -> tuple[Array, int, np.dtype[Any]]:
    """x in the type to work in with at least one axis, the axis, and the type of the result."""
    x = float_array(input, "input")
    if dtype is not None:
        x = x.astype(factory(None, dtype), copy=False)
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(f"Implicit dimension choice for softmax is {dim}; pass `dim`.", UserWarning, stacklevel=5)
    result = x.dtype
    x = x.astype(working(result), copy=False)
    axis = integer(dim, "dim")
    if not -max(x.ndim, 1) <= axis < max(x.ndim, 1):
        raise AxisError(axis, max(x.ndim, 1), "dim")
    axis %= max(x.ndim, 1)
    return np.atleast_1d(x), axis, result


@traceable
def softmax(input: ArrayLike, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> Array:
    """exp(x) divided by its sum along `dim`; computed and returned as `dtype` if that is given."""
    x, axis, result = _opened(input, dim, dtype)
    if x.dtype == np.float32:
        y: Array = np.moveaxis(_C.softmax(np.moveaxis(x, axis, -1)), -1, axis)
    else:
        e = np.exp(_shifted(x, axis))
        y = e / e.sum(axis=axis, keepdims=True)
    return y.astype(result, copy=False).reshape(np.shape(input))


@traceable
def log_softmax(input: ArrayLike, dim: int | None = None, _stacklevel: int = 3,
                dtype: DTypeLike | None = None) -> Array:
    """The logarithm of `softmax`, computed without leaving the range of the type."""
    x, axis, result = _opened(input, dim, dtype)
    if x.dtype == np.float32:
        y: Array = np.moveaxis(_C.log_softmax(np.moveaxis(x, axis, -1)), -1, axis)
    else:
        x = _shifted(x, axis)
        y = x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
    return y.astype(result, copy=False).reshape(np.shape(input))

"""Initialisation with torch's formulas and a seed of our own: the numbers are not torch's.

Glorot and Bengio 2010 for `xavier`, He et al. 2015 for `kaiming`. Every function writes into its array and returns it.
"""
from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from .._core.errors import shown
from .checks import number

__all__ = ["calculate_gain", "constant_", "generator", "kaiming_normal_", "kaiming_uniform_", "manual_seed", "normal_",
           "ones_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_"]

A = TypeVar("A", bound=np.ndarray[Any, Any])

_state: dict[str, np.random.Generator] = {}     # filled on first use: importing numpy.random is slow
_lock = threading.Lock()


def manual_seed(seed: int) -> np.random.Generator:
    """Makes initialisation and dropout start again from `seed`, an integer >= 0; returns the new generator."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"Expected an integer `seed`, got {type(seed).__name__}")
    if seed < 0:
        raise ValueError(f"Expected `seed` >= 0, got {shown(seed)}")
    with _lock:
        _state["generator"] = np.random.default_rng(int(seed))
    return _state["generator"]


def generator() -> np.random.Generator:
    """The generator that all random numbers of float_nn come from."""
    if not _state:
        with _lock:
            _state.setdefault("generator", np.random.default_rng())
    return _state["generator"]


def _array(tensor: A) -> A:
    if not isinstance(tensor, np.ndarray):
        raise TypeError(f"Expected `tensor` to be an array, got {type(tensor).__name__}")
    return tensor


def uniform_(tensor: A, a: float = 0.0, b: float = 1.0) -> A:
    """Fills with the uniform distribution on [a, b)."""
    low, high = number(a, "a"), number(b, "b")
    if not low <= high or high - low == math.inf:
        raise ValueError(f"Expected finite `a` <= `b`, got {low} and {high}")
    tensor = _array(tensor)
    tensor[...] = generator().uniform(low, high, tensor.shape)
    return tensor


def normal_(tensor: A, mean: float = 0.0, std: float = 1.0) -> A:
    """Fills with the normal distribution of that mean and standard deviation."""
    spread = number(std, "std")
    if not spread >= 0:
        raise ValueError(f"Expected `std` >= 0, got {spread}")
    tensor = _array(tensor)
    tensor[...] = generator().normal(number(mean, "mean"), spread, tensor.shape)
    return tensor


def constant_(tensor: A, val: float) -> A:
    """Fills with `val`."""
    _array(tensor)[...] = number(val, "val")
    return tensor


def zeros_(tensor: A) -> A:
    """Fills with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: A) -> A:
    """Fills with 1."""
    return constant_(tensor, 1.0)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Inputs and outputs of one unit of a weight (out, in, *kernel). ValueError below two dimensions."""
    if len(shape) < 2:
        raise ValueError(f"Expected a weight with at least 2 dimensions, got {len(shape)}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before `nonlinearity` grow: sqrt(2) for relu, 5/3 for tanh, ..."""
    slope = 0.01 if param is None else number(param, "param")
    fixed = {"relu": math.sqrt(2.0), "tanh": 5.0 / 3.0, "selu": 0.75,
             "leaky_relu": math.sqrt(2.0 / (1 + slope * slope))}
    plain = ("linear", "sigmoid", *(f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)))
    if not isinstance(nonlinearity, str) or (nonlinearity not in plain and nonlinearity not in fixed):
        raise ValueError(f"Unsupported nonlinearity {shown(nonlinearity)}")
    return fixed.get(nonlinearity, 1.0)


def _xavier_std(tensor: np.ndarray[Any, Any], gain: float) -> float:
    size = sum(fans(_array(tensor).shape))
    return number(gain, "gain") * math.sqrt(2.0 / size) if size else 0.0


def xavier_uniform_(tensor: A, gain: float = 1.0) -> A:
    """Uniform with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: A, gain: float = 1.0) -> A:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain))


def _kaiming_std(tensor: np.ndarray[Any, Any], a: float, mode: str, nonlinearity: str) -> float:
    if not isinstance(mode, str) or mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Expected `mode` 'fan_in' or 'fan_out', got {shown(mode)}")
    fan = fans(_array(tensor).shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(tensor: A, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> A:
    """Uniform with standard deviation gain / sqrt(fan)."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: A, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> A:
    """Normal with standard deviation gain / sqrt(fan)."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))

"""Checks of array arguments for the few operations that Python does itself."""
from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core.errors import is_raised_in_python, shown
from ._core.tracing import TracedArray


def is_floating(dtype: np.dtype[Any]) -> bool:
    """float16, float32, float64, or ml_dtypes' bfloat16."""
    return dtype.char in "efd" or dtype.name == "bfloat16"


def float_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a plain array of floats; numbers and lists become float32.

    TypeError naming the argument and its type for anything else, integer arrays included.
    """
    if isinstance(value, TracedArray) and is_floating(value.dtype):
        return value
    array = number_array(value, name)
    if not is_floating(array.dtype):
        raise TypeError(f"Expected `{name}` to be an array of floats, got {array.dtype}")
    return array


def number_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a plain array of floats or integers; Python numbers and lists become float32. Else TypeError."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected `{name}` to hold numbers in a regular shape, got {type(value).__name__}") from None
    if array.dtype.kind not in "iuf" and not is_floating(array.dtype):
        got = array.dtype if isinstance(value, np.ndarray | np.generic) else type(value).__name__
        raise TypeError(f"Expected `{name}` to be an array of floats or integers, got {got}")
    return array if isinstance(value, np.ndarray | np.generic) else array.astype(np.float32)


def axis_index(axis: Any, ndim: int) -> int:
    """An axis counted from the start. TypeError if it is not an integer, AxisError if there is no such axis."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"Expected `axis` to be an integer, got {shown(axis)}")
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(f"Expected `axis` from {-ndim} to {ndim - 1}, got {index}")
    return index % ndim


def check_broadcast(**arrays: NDArray[Any]) -> None:
    """ValueError naming the arguments and their shapes unless they broadcast together."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except (ValueError, RuntimeError):  # the latter for more axes than NumPy broadcasts
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
        raise ValueError(f"Expected shapes that broadcast together, got {shapes}") from None


def inside_gradient(saved: tuple[Any, ...], names: tuple[str, str, str], grad_outputs: Any) -> NDArray[Any]:
    """`grad_outputs` where inputs lie between two ends, else 0; `names`: of inputs and both ends, for errors."""
    x, low, high = (float_array(each, name) for each, name in zip(saved, names, strict=True))
    grad = float_array(grad_outputs, "grad_outputs")
    check_broadcast(**dict(zip(names, (x, low, high), strict=True)), grad_outputs=grad)
    return np.where((x <= high) & (x >= low), grad, np.zeros((), grad.dtype))

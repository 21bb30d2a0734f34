"""Checks of array arguments for the few operations that Python does itself."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_floating(dtype: np.dtype[Any]) -> bool:
    """float16, float32, float64, or ml_dtypes' bfloat16."""
    return dtype.char in "efd" or dtype.name == "bfloat16"


def float_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a plain array of floats; numbers and lists become float32.

    TypeError naming the argument and its type for anything else, arrays of integers among it.
    """
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
    else:
        try:
            array = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            raise TypeError(f"Expected `{name}` to be an array of floats, got {type(value).__name__}") from None
    if not is_floating(array.dtype):
        raise TypeError(f"Expected `{name}` to be an array of floats, got {array.dtype}")
    return array


def check_broadcast(**arrays: NDArray[Any]) -> None:
    """ValueError naming the arguments and their shapes unless they broadcast together."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
        raise ValueError(f"Expected shapes that broadcast together, got {shapes}") from None

"""Checks of arguments that all layers share, and the errors they raise.

torch raises RuntimeError for wrong shapes and types, NumPy code expects ValueError and TypeError: these are both.
"""
from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._arrays import is_floating
from .._core.errors import DTypeError, ShapeError, is_raised_in_python, shown
from .._core.tracing import TracedArray
from .parameter import as_plain

__all__ = ["DTypeError", "ShapeError", "changed_settings", "factory", "float_array", "integer", "integers", "number",
           "probability", "rounded", "same_floats"]

Array = NDArray[Any]
#: Arguments of functions that hold a layer's parameters, in words.
LAYERS_OWN = {"weight": "weights are", "bias": "bias is", "w_ih": "weights are", "w_hh": "weights are"}
IntOrInts = int | Sequence[int]


def changed_settings(layer: Any, defaults: Mapping[str, Any]) -> str:
    """The settings of a layer that are not its defaults, as torch prints them behind the others."""
    return "".join(f", {name}={getattr(layer, name)}" for name, usual in defaults.items()
                   if getattr(layer, name) != usual)


def float_array(value: ArrayLike | None, name: str) -> Array:
    """`value` as a plain array of native float16, bfloat16, float32 or float64; lists and numbers become float32."""
    plain = as_plain(value)
    if type(plain) is np.ndarray and plain.dtype.char in "fd" and plain.dtype.isnative:
        return plain
    if isinstance(plain, TracedArray) and is_floating(plain.dtype):
        return plain
    try:
        array = np.asarray(plain)
    except (TypeError, ValueError) as error:
        if is_raised_in_python(error):
            raise
        kind = type(value).__name__
        raise DTypeError(f"Expected `{name}` of a floating type, got a ragged or unreadable {kind}") from None
    if not isinstance(plain, np.ndarray | np.generic) and array.dtype.kind in "fiu":
        return array.astype(np.float32)
    if not is_floating(array.dtype):
        raise DTypeError(f"Expected `{name}` of a floating type, got {array.dtype}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that arithmetic on `dtype` is done in: float32 for the half types, else the type itself."""
    return dtype if dtype.itemsize >= 4 else np.dtype(np.float32)


def same_floats(**values: ArrayLike | None) -> tuple[list[Any], np.dtype[Any]]:
    """All `values` as arrays of one type to work in, and the type to round the result to.

    Biases, whose names begin with b, may be None and stay None.
    """
    arrays: list[Any] = []
    first: tuple[str, np.dtype[Any]] | None = None
    for name, value in values.items():
        if value is None and name.startswith("b"):
            arrays.append(None)
            continue
        array = float_array(value, name)
        if first is None:
            first = name, array.dtype
        elif array.dtype != first[1]:
            raise _other_type(name, array.dtype, *first)
        arrays.append(np.asarray(array, working(array.dtype), order="C"))  # the last digits of a product depend on it
    assert first is not None
    return arrays, first[1]


def _other_type(name: str, dtype: np.dtype[Any], input: str, given: np.dtype[Any]) -> DTypeError:
    """The error for two different types: the layer's own decides, and the message is about the input."""
    if name not in LAYERS_OWN:
        return DTypeError(f"Expected `{name}` of type {given} as `{input}`, got {dtype}")
    cast = f"x.astype(np.{dtype})" if dtype.name in ("float16", "float32", "float64") else f"x.astype({str(dtype)!r})"
    return DTypeError(f"Expected `{input}` of the layer's type: `{input}` is {given}, the layer's {LAYERS_OWN[name]} "
                      f"{dtype}: `{cast}`")


def rounded(result: Any, dtype: np.dtype[Any]) -> Array:
    """A result as an array (NumPy makes scalars of 0 dimensions) in its final type."""
    return np.asarray(result).astype(dtype, copy=False)


def number(value: Any, name: str) -> float:
    """`value` as a float; TypeError if it is not a number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number) or np.iscomplexobj(value):
        raise TypeError(f"Expected a number `{name}`, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:  # perhaps of more digits than Python prints
        raise ValueError(f"Expected a number `{name}` within the range of floats, got a huge one") from None


def probability(value: Any) -> float:
    """`value` as a float within [0, 1]."""
    p = number(value, "p")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {value}")
    return p


def integer(value: Any, name: str, low: int | None = None) -> int:
    """`value` as an int of at least `low`; TypeError if it is not an integer, ValueError if it is too small."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"Expected an integer `{name}`, got {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected an integer `{name}`, got {shown(value)}") from None
    if not -(2 ** 63) <= number < 2 ** 63:  # perhaps of more digits than Python prints
        raise ShapeError(f"Expected an integer `{name}` of at most 64 bits, got a huge one")
    if low is not None and number < low:
        raise ShapeError(f"Expected `{name}` >= {low}, got {number}")
    return number


def integers(value: Any, count: int, name: str, low: int | None = None) -> tuple[int, ...]:
    """One integer for all of `count` dimensions, or one for each."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return (integer(value, name, low),) * count
    if len(value) not in (1, count):
        raise ShapeError(f"Expected `{name}` to be one integer or {count}, got {len(value)}: {shown(value)}")
    numbers = tuple(integer(each, name, low) for each in value)
    return numbers if len(numbers) == count else numbers * count


def any_dtype(dtype: Any) -> np.dtype[Any]:
    """np.dtype(dtype), with one short error."""
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError, RecursionError, OverflowError) as error:
        if is_raised_in_python(error) and not isinstance(dtype, str):  # NumPy reads strings in Python
            raise
        raise DTypeError(f"Expected `dtype` to be a type of NumPy, got {shown(dtype)}") from None
    return found


def factory(device: Any, dtype: DTypeLike | None) -> np.dtype[Any]:
    """The type of new parameters; `device` exists for compatibility with torch and must be the CPU."""
    if device is not None and str(device) != "cpu":
        raise ValueError(f"Expected `device` None or 'cpu', got {shown(device)}")
    kind = any_dtype(np.float32 if dtype is None else dtype)
    if not is_floating(kind):
        raise DTypeError(f"Expected a floating `dtype`, got {kind}")
    return kind


def batched(array: Array, spatial: int, what: str) -> tuple[Array, bool]:
    """The input as (N, C, ...) with `spatial` dimensions, and whether its batch dimension was added."""
    if array.ndim not in (spatial + 1, spatial + 2):
        raise ShapeError(f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) `input` to {what}, "
                         f"got shape {array.shape}")
    single = array.ndim == spatial + 1
    return (array[None] if single else array), single

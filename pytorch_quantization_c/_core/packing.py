"""Plain data, arrays among it, as JSON and a dictionary of arrays: what a file in the safetensors format can hold."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]


def pack(value: object, key: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """`value` as JSON; the arrays in it go to `arrays` under `key`. TypeError for anything but plain data.

    Plain data are None, booleans, numbers, strings, NumPy arrays and scalars, and lists, tuples and dictionaries with
    string keys of these. `unpack` gives back the same types.
    """
    if value is None or isinstance(value, bool | int | str) and type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.ndarray | np.generic):
        arrays[key] = np.array(value)
        return {"scalar" if isinstance(value, np.generic) else "array": key}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return {type(value).__name__: [pack(each, f"{key}.{number}", arrays) for number, each in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: pack(each, f"{key}.{name}", arrays) for name, each in value.items()}}
    raise TypeError(f"Expected `{key}` to be plain data that a file can hold, got {type(value).__name__}")


def unpack(data: object, arrays: dict[str, NDArray[Any]]) -> Any:
    """What `pack` packed. ValueError if `data` or the arrays are not what it makes."""
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, dict) and len(data) == 1:
        (kind, inside), = data.items()
        if kind == "float" and inside in ("nan", "inf", "-inf"):
            return float(inside)
        if kind in ("array", "scalar") and isinstance(inside, str) and inside in arrays:
            return arrays[inside].copy() if kind == "array" else arrays[inside][()]
        if kind in ("list", "tuple") and isinstance(inside, list):
            return (list if kind == "list" else tuple)(unpack(each, arrays) for each in inside)
        if kind == "dict" and isinstance(inside, dict):
            return {name: unpack(each, arrays) for name, each in inside.items()}
    raise ValueError(f"Expected packed data, got {data!r:.60}")

"""A short text that identifies what a file of intermediate results was computed from."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["fingerprint"]

LENGTH = 16     # of the text


def fingerprint(*values: Any) -> str:
    """A text that differs if the values differ: arrays, tensors, strings, numbers, and lists, tuples and dicts of them.

    Of other objects, and of arrays of objects, only the type counts.
    """
    found = hashlib.sha256()
    for value in values:
        _add(found, value)
    return found.hexdigest()[:LENGTH]


def _add(found: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        found.update(f"{len(value)} pairs".encode())
        for key, each in value.items():
            _add(found, key)
            _add(found, each)
    elif isinstance(value, list | tuple):
        found.update(f"{len(value)} values".encode())
        for each in value:
            _add(found, each)
    elif hasattr(value, "detach"):      # a tensor; half precisions without a NumPy type as doubles
        tensor = value.detach().cpu()
        _add_array(found, np.asarray(tensor.double() if tensor.is_floating_point() else tensor))
    elif isinstance(value, str | bytes | int | float | type(None)):
        found.update(repr(value).encode())
    else:
        _add_array(found, np.asarray(value))


def _add_array(found: Any, array: Any) -> None:
    found.update(f"{array.dtype.str} {array.shape}".encode())
    if not array.dtype.hasobject:
        found.update(np.ascontiguousarray(array).tobytes())

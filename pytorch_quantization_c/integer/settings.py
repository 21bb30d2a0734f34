"""Snapshots of settings: mutable values, such as lists and arrays, are copied."""
from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FIXED", "fixed", "is_fixed"]

FIXED = frozenset((int, bool, float, str, type(None)))


def is_fixed(value: Any) -> bool:
    """Whether the object is immutable."""
    return type(value) in FIXED or (type(value) is tuple and FIXED.issuperset(map(type, value)))


def fixed(value: Any) -> Any:
    """The value, lists and arrays as tuples of plain numbers."""
    if is_fixed(value):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return fixed(value.tolist())
    return tuple(map(fixed, value)) if isinstance(value, list | tuple) else value

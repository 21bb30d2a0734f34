"""The error function, which NumPy does not have."""
from __future__ import annotations

from ... import _C
from ..checks import Array

__all__ = ["erf"]


def erf(x: Array) -> Array:
    """The error function of each element of a float32 or float64 array."""
    return _C.erf(x)

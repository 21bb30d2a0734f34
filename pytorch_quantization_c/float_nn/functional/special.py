"""The error function, which NumPy does not have."""
from __future__ import annotations

import math

import numpy as np

from ..checks import Array

__all__ = ["erf"]

_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """The error function of each element, computed in float64 and rounded to the type of `x`."""
    return np.asarray(_erf(x.astype(np.float64)), dtype=np.float64).astype(x.dtype)

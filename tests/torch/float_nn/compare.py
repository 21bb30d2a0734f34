"""What the comparisons with torch share: arrays over the border, and how close is close."""
from __future__ import annotations

import numpy as np
import torch

from pytorch_quantization_c import float_nn

# Largest difference allowed, relative to the largest element of torch's answer.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 1e-5, "float64": 1e-13}

ours, theirs = float_nn, torch.nn


def to_torch(array):
    array = np.ascontiguousarray(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def to_numpy(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_close(got, wanted, tolerance=None):
    """`got` is a plain array of the shape and type of torch's `wanted`, and close to it."""
    wanted = to_numpy(wanted)
    assert type(got) is np.ndarray
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    if got.dtype.kind not in "fV":
        np.testing.assert_array_equal(got, wanted)
    elif got.size:
        limit = TOLERANCE[got.dtype.name] if tolerance is None else tolerance
        wanted, got = wanted.astype(np.float64), got.astype(np.float64)
        finite = np.abs(wanted[np.isfinite(wanted)])
        np.testing.assert_allclose(got, wanted, rtol=0, atol=limit * max(1e-30, finite.max(initial=0)))


def error_of(function):
    """The exception that `function` raises, or None."""
    try:
        function()
    except Exception as error:
        return error
    return None


def kind_of(error):
    """The exception class that users would catch: torch's own refinements of RuntimeError are that."""
    return next(kind for kind in type(error).__mro__ if kind in (RuntimeError, ValueError, TypeError, IndexError))

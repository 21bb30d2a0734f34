"""What every calibration of the batches must find, from all of them in one array."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .models import Loader, batch

COUNT = 24
OPTIONS = {"method": "percentile", "percentile": 99.0}


@functools.cache
def everything() -> Any:
    """What reaches each quantiser, all batches in one array."""
    x = np.concatenate([batch(number) for number in range(COUNT)])
    return x, np.maximum(x, np.float32(-0.5))


def double_histogram(x: Any, bins: int = 2048) -> Any:
    """Counts of |x| in `bins` equal bins of [0, R), R the power of two above the largest."""
    x = np.abs(x).ravel().astype(np.float64)
    high = 2.0 ** (np.floor(np.log2(x.max())) + 1)
    return np.bincount(np.floor(x / high * bins).astype(int), minlength=bins), np.linspace(0, high, bins + 1)


def percentile(x: Any) -> Any:
    hist, edges = double_histogram(x)
    return np.float32(edges[np.searchsorted(np.cumsum(hist / hist.sum()), 0.99)])


@functools.cache
def wanted() -> dict[str, Any]:
    first, later = everything()
    return {"first": percentile(first), "channels": np.float32([[[percentile(later[:, i])] for i in range(3)]]),
            "largest": np.abs(later).max((0, 2), keepdims=True)}


def check(found: dict[str, Any]) -> None:
    assert sorted(found) == ["channels", "first", "largest"]
    for name, amax in wanted().items():
        assert found[name].dtype == np.float32 and found[name].shape == np.shape(amax)
        np.testing.assert_array_equal(found[name], amax)


def loaders(size: int) -> list[Any]:
    return [Loader(range(begin, min(begin + size, COUNT))) for begin in range(0, COUNT, size)]

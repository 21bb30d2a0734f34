"""The largest magnitude, and the smallest value as the check for negative inputs sees it, on every instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, threads

from .. import oracle
from .cases import DTYPES, SIZES, nasty

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def numbers(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    return np.nan_to_num(nasty(rng, shape, np.float32), posinf=1e4, neginf=-2e4).clip(-6e4, 6e4).astype(dtype)


@every_dtype
def test_sizes(isa: str, dtype: type, rng: np.random.Generator) -> None:
    for n in SIZES[1:]:
        x = numbers(rng, n, dtype)
        oracle.same(_C.amax(x, None, False), np.abs(x).max())
        x[rng.integers(n)] = -np.inf
        assert _C.amax(x, None, False) == np.inf


@every_dtype
def test_a_nan_wins_wherever_it_is(isa: str, dtype: type, rng: np.random.Generator) -> None:
    for n in (1, 7, 16, 33, 70, 129):
        x = numbers(rng, n, dtype)
        for i in range(n):
            for sign in (1, -1):
                y = x.copy()
                y[i] = np.copysign(np.nan, sign)
                assert np.isnan(_C.amax(y, None, False)), (n, i)
                assert not np.signbit(_C.amax(y, None, False))


@pytest.mark.parametrize("shape", [(3, 70), (70, 3), (4, 5, 33), (2, 3, 4, 5), (1000, 2), (2, 1000), (5, 1, 7)])
@every_dtype
def test_axes(isa: str, shape: tuple[int, ...], dtype: type, rng: np.random.Generator) -> None:
    x = numbers(rng, shape, dtype)
    x.flat[rng.integers(x.size)] = np.nan
    for mask in range(1 << x.ndim):
        axes = tuple(i for i in range(x.ndim) if mask >> i & 1)
        with np.errstate(invalid="ignore"):
            wanted = np.abs(x).max(axes, keepdims=True)
        oracle.same(_C.amax(x, axes, True), wanted)
        oracle.same(_C.amax(x, axes, False), wanted.squeeze(axes))
    oracle.same(_C.amax(x.T, 0, False), _C.amax(x, x.ndim - 1, False).T)


@every_dtype
def test_one_negative_value_is_found(isa: str, dtype: type, rng: np.random.Generator) -> None:
    for n in (1, 5, 16, 31, 64, 70, 257):
        x = np.abs(numbers(rng, n, dtype))
        x[rng.integers(n)] = -0.0
        _C.fake_quant(x, np.float32(1), 8, True, True)
        for i in range(n):
            y = x.copy()
            y[i] = -1e-7  # a subnormal of float16
            with pytest.raises(TypeError, match="Negative values"):
                _C.fake_quant(y, np.float32(1), 8, True, True)
            y[(i + 1) % n] = np.nan  # NaN is the minimum then, and no number below 0
            _C.fake_quant(y, np.float32(1), 8, True, True)


@every_dtype
def test_threads(isa: str, dtype: type, thread_count: None, rng: np.random.Generator) -> None:
    """An extreme or a NaN anywhere in a large array, on any number of threads."""
    x = numbers(rng, 400_009, dtype)
    rows = x[:400_000].reshape(50, 8000)
    for count in (1, 2, 4):
        threads.set_num_threads(count)
        for i in (0, 131_071, 131_072, 262_143, 399_999, 400_008):
            y = x.copy()
            y[i] = -60_416
            oracle.same(_C.amax(y, None, False), np.abs(y).max())
            y[i] = np.nan
            assert np.isnan(_C.amax(y, None, False))
        oracle.same(_C.amax(rows, 0, False), np.abs(rows).max(0))
        oracle.same(_C.amax(rows, 1, True), np.abs(rows).max(1, keepdims=True))

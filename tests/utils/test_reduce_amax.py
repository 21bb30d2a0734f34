"""utils.reduce_amax against NumPy."""
from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytorch_quantization_c.utils import reduce_amax

from .. import oracle

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int8, np.int64, np.uint16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_set_of_axes(dtype: type, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(2, 3, 4, 5)) * 50).astype(np.int64).astype(dtype)
    for count in range(1, 4):
        for axes in itertools.combinations(range(4), count):
            wanted = np.abs(x).max(axes, keepdims=True)
            oracle.same(reduce_amax(x, axes), wanted)
            oracle.same(reduce_amax(x, [axis - 4 for axis in axes]), wanted)
            oracle.same(reduce_amax(x, axes, keepdims=False), wanted.reshape([s for s in wanted.shape if s != 1]))
            if count == 1:
                oracle.same(reduce_amax(x, axes[0]), wanted)
                oracle.same(reduce_amax(x, axes[0] - 4, keepdims=False), wanted.squeeze(axes))
    for axes in (None, (0, 1, 2, 3), [3, 2, 1, 0]):
        oracle.same(reduce_amax(x, axes), np.abs(x).max())
        oracle.same(reduce_amax(x, axes, keepdims=False), np.abs(x).max())


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=9), elements=st.floats(width=32)), st.data())
def test_any_array(x: Any, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    oracle.same(reduce_amax(x, axis), np.abs(x).max(axis, keepdims=True))
    oracle.same(reduce_amax(x), np.abs(x).max())


def test_shapes_the_original_is_known_for() -> None:
    x = np.float32([[1, -3]])
    assert reduce_amax(x, (0, 1)).shape == () and reduce_amax(x, (1,)).shape == () and reduce_amax(x, 1).shape == (1, 1)
    assert reduce_amax(x, (0,), keepdims=False).shape == (2,)
    assert reduce_amax(np.ones((1, 4, 5), np.float32), (2,), keepdims=False).shape == (4,)
    oracle.same(reduce_amax(x, ()), np.abs(x))
    oracle.same(reduce_amax(x, (0, 0)), np.abs(x))
    oracle.same(reduce_amax(np.empty((0, 3), np.float32), 1), np.empty((0, 1), np.float32))
    oracle.same(reduce_amax([-2, 1]), np.float32(2))
    for axis in (0, -1, [0]):
        oracle.same(reduce_amax(np.float32(-3), axis), np.float32(3))


def test_nan_wins_and_the_result_is_fresh() -> None:
    x = np.float32([[np.inf, np.nan], [1, -2]])
    oracle.same(reduce_amax(x, 1), np.float32([[np.nan], [2]]))
    kept = np.float32([1, 2])
    assert not np.shares_memory(reduce_amax(kept, ()), kept)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((np.ones(3), 1), IndexError, "`axis` from -1 to 0, got 1"), ((np.ones(3), (-2,)), IndexError, "`axis`"),
    ((np.ones(3), 1.0), TypeError, "`axis` to be an integer, got 1.0"), ((np.ones(3), "0"), TypeError, "`axis`"),
    ((np.ones(3), True), TypeError, "`axis`"), ((np.ones(3), (0, 0)), ValueError, "more axes than tensor's dim"),
    ((np.empty(0),), ValueError, "empty"), ((np.empty((0, 2)), 0), ValueError, "empty"),
    ((np.ones(3, bool),), TypeError, "bool"), (("abc",), TypeError, "`input`"), ((None,), TypeError, "NoneType"),
    (([[1.0], [2.0, 3.0]],), TypeError, "regular shape"), ((np.ones(2, complex),), TypeError, "complex128")])
def test_refusals(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        reduce_amax(*arguments)

"""Inputs are never changed, and their layout does not matter."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .surface import CASES, FUNCTION_CASES, PASSED_ON, REFUSED, Case, flat, same

IN_PLACE = ("cuda_ext.fake_tensor_quant_",)
PURE = [case for case in CASES if case.name not in IN_PLACE]


def spread(array: np.ndarray) -> np.ndarray:
    """The same numbers with gaps between them in every direction."""
    wide = np.zeros([2 * n for n in array.shape], array.dtype)
    view = wide[(*(slice(None, None, 2) for _ in array.shape), ...)]
    view[...] = array
    return view


def backwards(array: np.ndarray) -> np.ndarray:
    """The same numbers at addresses that fall along every axis."""
    turn = tuple(slice(None, None, -1) for _ in array.shape)
    return array[turn].copy()[(*turn, ...)]


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def frozen(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: list[Callable[[np.ndarray], object]] = [
    spread, backwards, unaligned, swapped, frozen, np.asfortranarray, np.ndarray.tolist
]


def test_every_callable_is_covered() -> None:
    assert not REFUSED
    assert len(CASES) > 20


@pytest.mark.parametrize("case", PURE, ids=lambda case: case.name)
def test_inputs_are_unchanged(case: Case) -> None:
    before = {name: array.tobytes() for name, array in case.arrays.items()}
    first = case()
    assert same(first, case()), "two calls in a row differ"
    assert {name: array.tobytes() for name, array in case.arrays.items()} == before


@pytest.mark.parametrize("case", PURE, ids=lambda case: case.name)
def test_layout_does_not_matter(case: Case) -> None:
    expected = case()
    for name, array in case.arrays.items():
        for layout in LAYOUTS:
            if layout is np.ndarray.tolist and case not in FUNCTION_CASES:
                continue  # a layer takes arrays
            if layout is swapped and case.name in PASSED_ON:
                continue  # the view is swapped like the input
            given = layout(array)
            assert same(case(**{name: given}), expected), f"{name}: {layout.__name__}"


@pytest.mark.parametrize("case", PURE, ids=lambda case: case.name)
def test_results_are_plain_arrays_of_the_inputs_type(case: Case) -> None:
    codes = "codes" in case.name or "ggml" in case.name or case.name == "formats.quantize"
    for result in flat(case()):
        assert type(result) is np.ndarray
        if codes and result.dtype in (np.int8, np.uint8):
            continue
        assert result.dtype == (np.int64 if "indices" in case.name and result.dtype.kind == "i" else np.float32)

"""References and memory are the same after a call as before it, whether it succeeds or fails."""
from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from .surface import CASES, Case

CALLS = 100
SLACK = 8000  # bytes: 80 a call, less than the smallest array takes; caches of CPython and NumPy need some
BAD = (np.arange(6), np.zeros((2, 2, 2, 2, 2, 2, 7), np.float32), object())


@pytest.fixture(scope="module", autouse=True)
def only_new_objects() -> Iterator[None]:
    """What the test run holds anyway is out of the collector's sight: a collection takes no time then."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def refusals(case: Case) -> list[Callable[[], None]]:
    """Calls with one array replaced by a bad one that raise; they swallow it."""
    found = []
    for name in case.arrays:
        for bad in BAD:

            def call(name: str = name, bad: object = bad) -> None:
                with contextlib.suppress(Exception):
                    case(**{name: bad})

            try:
                case(**{name: bad})
            except Exception:
                found.append(call)
    return found


def growth(call: Callable[[], object]) -> int:
    """Bytes that are held after many calls and were not before: the least of three tries."""
    for _ in range(3):
        call()
    least = sys.maxsize
    for _ in range(3):
        gc.collect()
        tracemalloc.start()
        call()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(CALLS):
            call()
        gc.collect()
        least = min(least, tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.stop()
        if least < SLACK:
            break
    return least


def references(case: Case) -> dict[str, int]:
    return {name: sys.getrefcount(array) for name, array in case.arrays.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_success_keeps_nothing(case: Case) -> None:
    case()
    before = references(case)
    for _ in range(5):
        case()
    assert references(case) == before
    assert growth(case) < SLACK


@pytest.mark.parametrize("case", [case for case in CASES if refusals(case)], ids=lambda case: case.name)
def test_failure_keeps_nothing(case: Case) -> None:
    for call in refusals(case):
        gc.collect()
        before = references(case)
        for _ in range(5):
            call()
        gc.collect()
        assert references(case) == before
        assert growth(call) < SLACK

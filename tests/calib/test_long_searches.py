"""Searches in millions of bins: the answer is the definition's, and it comes soon."""
from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, isa

from . import paper

BINS = 3_600_000
EDGES: dict[str, Any] = {
    "even": lambda bins, high: np.linspace(0, high, bins + 1),
    "squares": lambda bins, high: np.linspace(0, 1, bins + 1) ** 2 * high,
    "geometric": lambda bins, high: np.geomspace(1e-6, high, bins + 1),
    "random": lambda bins, high: np.sort(np.random.default_rng(1).uniform(0, high, bins + 1)),
    "equal": lambda bins, high: np.sort(np.random.default_rng(1).integers(0, 999, bins + 1)) / 999 * high,
}


def histogram(kind: str, bins: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Counts of normal values: as many as twice the bins."""
    edges = EDGES[kind](bins, 5.0).astype(np.float32)
    expected = np.exp(-edges[1:] ** 2 / 2) * np.diff(edges) * np.float32(1.6 * bins)
    return np.floor(expected + rng.random(bins)).astype(np.int64), edges


@pytest.mark.parametrize("kind", EDGES)
@pytest.mark.parametrize("num_bits", [3, 8, (4, 3)], ids=str)
def test_mse_of_uneven_edges_is_the_definition_s(kind: str, num_bits: Any, rng: np.random.Generator) -> None:
    counts, edges = histogram(kind, 1500, rng)
    errors = paper.squared_errors(counts, edges, num_bits, False, 1, 100)
    at = _C.mse_search(counts, paper.centres(edges), None if num_bits == (4, 3) else num_bits, False, 1, 100)
    assert errors[at] <= min(errors.values()) * (1 + 1e-12)


OTHERS: dict[str, Any] = {
    "falling": lambda centres, rng: centres[::-1].copy(), "around 0": lambda centres, rng: centres - np.float32(2.5),
    "below 0": lambda centres, rng: -centres, "in any order": lambda centres, rng: rng.permutation(centres),
    "tiny ones among them": lambda centres, rng: rng.permutation(centres) * np.where(centres > 2, 1e-9, 1),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("num_bits", [3, 8, (4, 3)], ids=str)
def test_mse_of_centres_that_do_not_rise_is_the_definition_s(kind: str, num_bits: Any,
                                                             rng: np.random.Generator) -> None:
    """The first of the least; where the formula's rounding is all that tells them apart, one of them."""
    for stride, start in ((1, 0), (3, 40)):
        counts, edges = histogram("random", 600, rng)
        counts[rng.integers(0, 600, 200)] = 0
        centres = OTHERS[kind](paper.centres(edges), rng).astype(np.float32)
        errors = {i: value for i, value in paper.errors_of_centres(counts, centres, num_bits, False, stride,
                                                                            start).items()
                  if centres[i] >= 0}
        at = _C.mse_search(counts, centres, None if num_bits == (4, 3) else num_bits, False, stride, start)
        if not errors:
            assert at == -1
            continue
        least = min(errors.values())
        assert errors[at] <= least * (1 + 1e-12)
        assert at == min(i for i, value in errors.items() if value <= least * (1 + 1e-12))


def test_mse_of_zeros_alone_is_the_first_of_equals() -> None:
    """All that is too large or too small makes everything 0: equal errors, whatever the order."""
    counts, centres = np.array([5, 0, 0, 0, 0]), np.array([1e-6, 9, 3, 1e-9, 7], np.float32)
    assert _C.mse_search(counts, centres, 8, False, 1, 1) == 1
    assert _C.mse_search(counts, centres[[0, 3, 2, 1, 4]], 8, False, 1, 1) == 1


@pytest.mark.parametrize("kind", ["around 0", "in any order"])
@pytest.mark.parametrize("num_bits", [2, 8, 11])
@pytest.mark.parametrize("more", [1, 10 ** 12])
def test_unsigned_mse_leaves_out_what_is_below_0(kind: str, num_bits: int, more: int, rng: np.random.Generator) -> None:
    """All of it becomes 0, whatever the amax: in the sum it would round away what tells candidates apart."""
    counts, edges = histogram("even", 500, rng)
    centres = OTHERS[kind](paper.centres(edges) - np.float32(1), rng).astype(np.float32)
    above = np.where(centres < 0, 0, counts)
    errors = {i: value for i, value in paper.errors_of_centres(above, centres, num_bits, True, 1, 3).items()
              if centres[i] >= 0}
    least = min(errors.values()) * (1 + 1e-12)
    counts = np.where(centres < 0, counts * more, counts)
    assert _C.mse_search(counts, centres, num_bits, True, 1, 3) == min(i for i in errors if errors[i] <= least)


def test_mse_of_nothing_but_lost_values_is_the_first_of_equals(rng: np.random.Generator) -> None:
    """E4M3 makes 0 of all below 2^-24: each amax is as good, one of 0 too."""
    centres = (np.arange(1485, dtype=np.float32) - 742) * np.float32(1e-12)
    assert _C.mse_search(rng.integers(1, 9, 1485), centres, None, False, 1, 179) == 742


@pytest.mark.parametrize("kind, num_bits, unsigned", [("falling", 8, False), ("falling", 8, True),
                                                      ("around 0", 8, False), ("around 0", 12, True)])
def test_mse_time_of_centres_that_do_not_rise_is_not_quadratic(kind: str, num_bits: int, unsigned: bool,
                                                               rng: np.random.Generator) -> None:
    counts, edges = histogram("even", BINS, rng)
    centres = OTHERS[kind](paper.centres(edges), rng)
    begin = time.process_time()
    _C.mse_search(counts, centres, num_bits, unsigned, 1, 128)
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("kind", EDGES)
def test_mse_time_is_not_quadratic(kind: str, rng: np.random.Generator) -> None:
    """Tried one by one, 3.6 million candidates in as many bins take hours; this takes 0.1 to 0.4 s."""
    counts, edges = histogram(kind, BINS, rng)
    for num_bits in (8, 12, None):
        begin = time.process_time()
        _C.mse_search(counts, paper.centres(edges), num_bits, False, 1, 128)
        assert time.process_time() - begin < 3, num_bits


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("kind", ["even", "random", "half empty"])
def test_entropy_time_is_not_quadratic(kind: str, unsigned: bool, rng: np.random.Generator) -> None:
    """The default of 8 bits takes 0.1 to 0.5 s here; where half the bins are empty, all of those are close."""
    counts, _ = histogram("even" if kind == "half empty" else kind, BINS, rng)
    if kind == "half empty":
        counts = np.where(np.arange(BINS) < BINS // 2, 9 * counts + rng.poisson(9, BINS), 0)
    begin = time.process_time()
    _C.entropy_search(counts, 8, unsigned, 1, 128)
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("isa_name", isa.available())
def test_entropy_of_many_close_candidates_is_the_definition_s(isa_name: str, rng: np.random.Generator) -> None:
    """No bound tells the candidates above the last value apart: neighbours are estimated at once."""
    for bins, num_bits in ((900, 6), (1501, 5)):
        counts = np.where(np.arange(bins) < bins // 2, rng.poisson(30, bins), 0)
        wanted = paper.divergences(counts, num_bits, False, 1, 40)
        with isa.only(isa_name):
            at = _C.entropy_search(counts, num_bits, False, 1, 40)
        assert wanted[at] <= min(wanted.values()) * (1 + 1e-9)


def test_entropy_of_empty_bins_is_not_quadratic() -> None:
    """Every candidate above the last value is as good: the last is the answer, as of any shorter histogram."""
    for bins, num_bits in ((6000, 8), (BINS, 8), (BINS, 32)):
        counts = np.where(np.arange(bins) < bins // 2, 7, 0)
        begin = time.process_time()
        assert _C.entropy_search(counts, num_bits, False, 1, 128) == bins
        assert time.process_time() - begin < 10

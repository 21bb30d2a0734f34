"""Entropy, mse and percentile against their formulas, on histograms of every kind and every instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import isa, threads
from pytorch_quantization_c.calib.histogram import (
    _compute_amax_entropy,
    _compute_amax_mse,
    _compute_amax_percentile,
)

from . import paper

counts_of_a_histogram = st.lists(st.integers(0, 3) | st.integers(0, 2 ** 33), min_size=2, max_size=80)
MANY_BITS = [2, 4, 5, 8, 11, 16, 32]


def histogram(kind: str, bins: int, rng: np.random.Generator) -> Any:
    if kind == "normal":
        return np.histogram(np.abs(rng.normal(size=20_000)), bins)[0]
    if kind == "long tail":
        return np.histogram(rng.exponential(size=3000) ** 2, bins)[0]
    if kind == "half empty":
        return np.append(histogram("normal", bins // 2, rng), np.zeros(bins - bins // 2, np.int64))
    if kind == "few values":
        return np.bincount(rng.integers(0, bins, 9), minlength=bins) * 1000
    if kind == "comb":
        return np.where(np.arange(bins) % 3, 0, 5)
    return np.full(bins, 7)


KINDS = ["normal", "long tail", "half empty", "few values", "comb", "flat"]


def check_entropy(hist: Any, edges: Any, num_bits: int, unsigned: bool, stride: int, start_bin: int) -> None:
    found = paper.divergences(hist, num_bits, unsigned, stride, start_bin)
    numbers = {i: value for i, value in found.items() if not np.isnan(value)}
    amax = _compute_amax_entropy(hist, edges, num_bits, unsigned, stride, start_bin)
    assert amax.dtype == np.float32 and amax.shape == ()
    at = int(np.flatnonzero(edges == amax)[0])
    if not numbers:
        assert at == max(found, default=len(hist))
        return
    least = min(numbers.values())
    last = max(i for i, value in numbers.items() if value == least or value <= least + 1e-14)
    assert at in numbers and numbers[at] <= least + 1e-13, (at, last)
    near = {value for value in numbers.values() if value <= least + 1e-13}     # in full, 1e-17 may be -1e-17
    if sum(value <= least + 1e-13 for value in numbers.values()) == 1 or (least in (0, np.inf) and len(near) == 1):
        assert at == last


def check_mse(hist: Any, edges: Any, num_bits: Any, unsigned: bool, stride: int, start_bin: int) -> None:
    found = paper.squared_errors(hist, edges, num_bits, unsigned, stride, start_bin)
    amax = _compute_amax_mse(hist, edges, num_bits, unsigned, stride, start_bin)
    at = int(np.flatnonzero(paper.centres(edges) == amax)[0])
    assert amax.dtype == np.float32 and at in found
    assert found[at] <= min(found.values()) * (1 + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy(kind: str, rng: np.random.Generator) -> None:
    for bins in (64, 300):
        hist, edges = histogram(kind, bins, rng), np.linspace(0, 3, bins + 1, dtype=np.float32)
        for number, num_bits in enumerate(MANY_BITS):
            stride, start_bin = [(1, 1), (1, 40), (3, 7), (9, 128)][(number + bins) % 4]
            check_entropy(hist, edges, num_bits, bool(number % 2), stride, min(start_bin, bins))


@pytest.mark.parametrize("kind", KINDS)
def test_mse(kind: str, rng: np.random.Generator) -> None:
    for bins in (64, 300):
        hist, edges = histogram(kind, bins, rng), np.linspace(0, 3, bins + 1, dtype=np.float32)
        for number, num_bits in enumerate([(4, 3), *MANY_BITS]):
            check_mse(hist, edges, num_bits, bool(number % 2), *[(1, 0), (1, 40), (3, 7)][number % 3])


def test_the_whole_of_2048_bins(rng: np.random.Generator) -> None:
    hist, edges = np.histogram(np.abs(rng.normal(size=100_000)).astype(np.float32), 2048)
    check_entropy(hist, edges, 8, False, 16, 128)
    check_mse(hist, edges, 8, False, 16, 128)
    check_mse(hist, edges, (4, 3), False, 16, 128)
    assert 0.3 * edges[-1] < _compute_amax_mse(hist, edges, 8, False) < edges[-1]


@given(counts_of_a_histogram, st.sampled_from(MANY_BITS), st.booleans(), st.integers(1, 4), st.integers(1, 2))
def test_entropy_of_any_histogram(counts: list[int], num_bits: int, unsigned: bool, stride: int, start: int) -> None:
    check_entropy(np.array(counts), np.arange(len(counts) + 1, dtype=np.float32), num_bits, unsigned, stride, start)


@given(counts_of_a_histogram, st.sampled_from([(4, 3), *MANY_BITS]), st.booleans(), st.integers(1, 4),
       st.integers(0, 1), st.floats(2.0 ** -10, 1000, width=32), st.booleans())
def test_mse_of_any_histogram(counts: list[int], num_bits: Any, unsigned: bool, stride: int, start: int, width: float,
                              even: bool) -> None:
    edges = np.arange(len(counts) + 1, dtype=np.float32) ** (1 if even else 2) * np.float32(width)
    check_mse(np.array(counts), edges, num_bits, unsigned, stride, start)


@given(counts_of_a_histogram, st.floats(0, 100))
def test_percentile_of_any_histogram(counts: list[int], percent: float) -> None:
    hist = np.array(counts)
    if hist.any():
        edges = np.arange(len(counts) + 1, dtype=np.float32)
        assert _compute_amax_percentile(hist, edges, percent) == paper.percentile(hist, edges, percent)


def test_one_answer_everywhere(rng: np.random.Generator) -> None:
    """Every instruction set and number of threads; ties in plenty."""
    before = threads.get_num_threads()
    try:
        for kind in KINDS:
            hist, edges = histogram(kind, 1000, rng), np.linspace(0, 7, 1001, dtype=np.float32)
            answers = set()
            for name in isa.selected():
                for count in (1, 3):
                    threads.set_num_threads(count)
                    with isa.only(name):
                        answers.add((float(_compute_amax_entropy(hist, edges, 6, False)),
                                     float(_compute_amax_mse(hist, edges, 6, False)),
                                     float(_compute_amax_mse(hist, edges, (4, 3), False))))
            assert len(answers) == 1
    finally:
        threads.set_num_threads(before)


def test_nothing_collected() -> None:
    assert _compute_amax_entropy(None, None, 8, False) is None
    assert _compute_amax_mse(None, None, 8, False) is None
    assert _compute_amax_percentile(None, None, 99.0) is None


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda h, e: _compute_amax_entropy(h, e, (4, 3), False), TypeError, "`num_bits`"),
    (lambda h, e: _compute_amax_entropy(h, e, 0, False), ValueError, "`num_bits`"),
    (lambda h, e: _compute_amax_entropy(h, e, 8, False, 1, 11), ValueError, "`start_bin`"),
    (lambda h, e: _compute_amax_entropy(h, e, 8, False, 1, 0), ValueError, "`start_bin`"),
    (lambda h, e: _compute_amax_entropy(h, e, 8, False, 0, 1), ValueError, "`stride`"),
    (lambda h, e: _compute_amax_entropy(h, e, 8, False, 1.5, 1), TypeError, "`stride`"),
    (lambda h, e: _compute_amax_entropy(-h, e, 8, False, 1, 1), ValueError, "counts >= 0"),
    (lambda h, e: _compute_amax_mse(h, e, 1, False, 1, 1), ValueError, "`num_bits`"),
    (lambda h, e: _compute_amax_mse(h, e, 33, False, 1, 1), ValueError, "`num_bits`"),
    (lambda h, e: _compute_amax_mse(h, e, 8, False, 1, 10), ValueError, "`start_bin`"),
    (lambda h, e: _compute_amax_mse(h, e[1:], 8, False, 1, 1), ValueError, "`centres`"),
    (lambda h, e: _compute_amax_percentile(h, e, 100.5), ValueError, "`percentile`"),
    (lambda h, e: _compute_amax_percentile(h, e, -1), ValueError, "`percentile`"),
    (lambda h, e: _compute_amax_percentile(h, e, float("nan")), ValueError, "`percentile`"),
])
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.ones(10, np.int64), np.arange(11, dtype=np.float32))

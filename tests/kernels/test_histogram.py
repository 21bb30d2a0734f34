"""Histogram kernels on every instruction set, against np.histogram and the definition of torch.histc's bins."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import _C, threads

SIZES = (*range(35), 63, 65, 511, 512, 513, 1500, 70_000)
BINS = (1, 2, 7, 128, 2048, 5000)


def counted(x: Any, edges: Any, skip_zeros: bool = False, partial: bool = False) -> Any:
    counts = np.zeros(len(edges) - 1, np.int64)
    largest = _C.histogram(x, edges, counts, skip_zeros, partial)
    return counts, largest


def magnitudes(rng: np.random.Generator, n: int, kind: int) -> Any:
    x = rng.normal(size=n) * 10.0 ** rng.integers(-6, 6)
    x = [x, np.maximum(x, 0), np.round(x, 2), np.full(n, 3.0), rng.integers(0, 4096, n) / 16][kind]
    return np.float32(x)


def histc(x: Any, bins: int, high: np.float32) -> Any:
    """Bin int(x * bins / high), computed in float32, the last one closed."""
    x = np.abs(x)
    x = x[x <= high]
    return np.bincount(np.minimum((x * np.float32(bins) / high).astype(np.int64), bins - 1), minlength=bins)


@pytest.mark.parametrize("kind", range(5))
def test_bins_of_numpy(isa: str, kind: int, rng: np.random.Generator) -> None:
    for n in SIZES[1:]:
        x = magnitudes(rng, n, kind)
        for bins in BINS:
            try:
                wanted, edges = np.histogram(np.abs(x), bins)
            except ValueError:
                continue            # too many bins for the range
            if (np.diff(edges) > 8 * np.spacing(edges[-1])).all():
                counts, largest = counted(x, edges)
                np.testing.assert_array_equal(counts, wanted)
                assert largest == np.abs(x).max()


@pytest.mark.parametrize("kind", range(5))
def test_bins_of_histc(isa: str, kind: int, rng: np.random.Generator) -> None:
    for n in SIZES[1:]:
        x = magnitudes(rng, n, kind)
        high = np.abs(x).max() * np.float32(rng.choice([1, 0.7, 1.3]))
        for bins in BINS if high > 0 else ():
            edges = _C.histc_edges(high, bins)
            near = np.concatenate([x, edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, 2 * high)])
            np.testing.assert_array_equal(counted(near, edges, partial=True)[0], histc(near, bins, high))


def test_any_rising_edges(isa: str, rng: np.random.Generator) -> None:
    """Uneven ones, repeated ones, edges in steps of two widths: np.histogram's rule for given edges."""
    for n, kind in ((300, 0), (5000, 1), (5000, 2), (5000, 4)):
        x = np.abs(magnitudes(rng, n, kind))
        top = max(float(x.max()), 1e-3)
        uneven = np.sort(rng.random(50)) * top
        for edges in (uneven, np.repeat(uneven[:20], 2), uneven ** 3, [0, top],
                      np.append(np.linspace(0, top / 3, 700), np.arange(top / 3, top, top / 900)[1:])):
            edges = np.float32(edges)
            y = np.concatenate([x, edges])
            wanted, _ = np.histogram(y, edges)
            np.testing.assert_array_equal(counted(-y, edges, partial=True)[0], wanted)


def test_zeros(isa: str, rng: np.random.Generator) -> None:
    x = np.float32(rng.choice([0, -0.0, 1, 3], 1000))
    edges = np.float32([0, 0.5, 1, 2, 4])
    counts, _ = counted(x, edges)
    skipped, _ = counted(x, edges, skip_zeros=True)
    assert counts.tolist() == [np.sum(x == 0), 0, np.sum(x == 1), np.sum(x == 3)] and counts[0] > 0
    assert skipped.tolist() == [0, *counts[1:]]
    assert counted(x, np.float32([0.25, 4]))[0].tolist() == [np.sum(x != 0)]
    assert counted(x, np.float32([-1, 0, 4]))[0].tolist() == [0, 1000]


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_has_no_bin_is_not_counted(isa: str, bad: float, rng: np.random.Generator) -> None:
    edges = np.linspace(0, 4, 9, dtype=np.float32)
    for n in (1, 17, 600):
        for at in range(0, n, 7):
            x = np.float32(rng.uniform(0, 4, n))
            clean, _ = counted(np.delete(x, at), edges)
            x[at] = bad
            counts, largest = counted(x, edges)
            assert not counts.any() and (np.isnan(largest) if np.isnan(bad) else largest == np.inf)
            np.testing.assert_array_equal(counted(x, edges, partial=True)[0], clean)
            x[at] = 4.5
            counts, largest = counted(x, edges)
            assert not counts.any() and largest == 4.5


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_types_and_strides(isa: str, dtype: type, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(40, 50)) * 3).astype(dtype)
    wide = np.abs(x.astype(np.float32))
    wanted, edges = np.histogram(wide, 100)
    for view in (x, x.T, x[:, ::-1]):
        np.testing.assert_array_equal(counted(view, edges)[0], wanted)
    np.testing.assert_array_equal(counted(x[::3, 1::2], edges)[0], np.histogram(wide[::3, 1::2], edges)[0])


@pytest.mark.parametrize("view", [
    lambda x: x[:, 1], lambda x: x[:, 1:2], lambda x: x[1, :2], lambda x: x[::-1, 1], lambda x: x[:, 1, ::2],
    lambda x: x[:, 1, :, 3:70], lambda x: x[:, :1].swapaxes(0, 1), lambda x: np.broadcast_to(x[0, 0], (4, 20, 100)),
    lambda x: x[:0, 1], lambda x: x[1, 1, 3, 4], lambda x: x[:, 1, ::-1], lambda x: x[..., ::-1][:, 2],
])
def test_rows_where_they_lie(isa: str, view: Any, rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=(5, 3, 20, 100)))
    before, part = x.copy(), view(x)
    edges = np.linspace(0, 6, 301, dtype=np.float32)
    np.testing.assert_array_equal(counted(part, edges)[0], np.histogram(np.abs(part), edges)[0])
    assert _C.magnitudes(part)[1] == np.abs(part).max(initial=0)
    np.testing.assert_array_equal(x, before)


def test_threads_count_the_same(isa: str, thread_count: None, rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=300_001))
    wanted, edges = np.histogram(np.abs(x), 2048)
    for count in (1, 2, 5):
        threads.set_num_threads(count)
        np.testing.assert_array_equal(counted(x, edges)[0], wanted)


def test_counts_beyond_32_bits() -> None:
    counts = np.array([2 ** 40, 5], np.int64)
    _C.histogram(np.ones(7, np.float32), np.float32([0, 2, 3]), counts, False, False)
    assert counts.tolist() == [2 ** 40 + 7, 5]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
       st.integers(1, 40))
def test_every_number_has_its_place(values: list[float], bins: int) -> None:
    x = np.float32(values)
    top = np.abs(x).max()
    if top > 0:
        edges = _C.histc_edges(float(top), bins)
        assert (np.diff(edges) >= 0).all() and edges[0] == 0 and edges[-1] == top
        counts, _ = counted(x, edges)
        assert counts.sum() == len(values)
        if top < 1e30:
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(counts, histc(x, bins, top))


def test_magnitudes(isa: str, rng: np.random.Generator) -> None:
    for n in SIZES:
        x = np.float32(rng.normal(size=n))
        x[rng.random(n) < 0.3] = 0
        x[rng.random(n) < 0.1] = np.nan
        x[rng.random(n) < 0.1] = -np.inf
        size = np.abs(x[np.isfinite(x)])
        assert _C.magnitudes(x) == (size[size > 0].min(initial=np.inf), size.max(initial=0), np.sum(size == 0),
                                    np.isnan(x).sum(), np.isinf(x).sum())
    assert _C.magnitudes(np.float64([1e-300, 2, 1e300])) == (2, 2, 1, 0, 1)


def test_refusals() -> None:
    counts, x = np.zeros(2, np.int64), np.ones(3, np.float32)
    frozen = counts.copy()
    frozen.flags.writeable = False
    for arguments, error, message in (((x, [0, 1, 2], frozen, False, False), ValueError, "`counts`"),
                                      ((x, [0, 1], counts, False, False), ValueError, "`counts`"),
                                      ((x, [0, 1, 2], counts.astype(np.int32), False, False), ValueError, "`counts`"),
                                      ((x, [0, 2, 1], counts, False, False), ValueError, "`edges`"),
                                      ((x, [0, 1, np.nan], counts, False, False), ValueError, "`edges`"),
                                      ((x, [0], counts, False, False), ValueError, "`edges`"),
                                      ((np.ones(3, int), [0, 1, 2], counts, False, False), TypeError, "`x`")):
        with pytest.raises(error, match=message):
            _C.histogram(*arguments)
    for high, bins in ((0.0, 4), (-1.0, 4), (np.inf, 4), (np.nan, 4), (1.0, 0), (1.0, 1 << 25)):
        with pytest.raises(ValueError, match="`high`|`bins`"):
            _C.histc_edges(high, bins)
    assert not counts.any()


def test_open_ranges_of_powers_of_two(isa: str, rng: np.random.Generator) -> None:
    """Every t is exact: what equals an edge, and what equals or exceeds the end of the range."""
    for bins in (2, 8, 2048):
        for exponent in (-64, -3, 0, 5, 100):
            edges = np.ldexp(np.arange(bins + 1) / bins, exponent).astype(np.float32)
            x = np.concatenate([edges, np.nextafter(edges, np.float32(0)), rng.random(999, np.float32) * 2 * edges[-1],
                                np.float32([np.nan, np.inf, 3e38])])
            kept = x[x < edges[-1]].astype(np.float64)
            wanted = np.bincount(np.floor(np.ldexp(kept, -exponent) * bins).astype(int), minlength=bins)
            edges[-1] = np.nextafter(edges[-1], np.float32(0))
            np.testing.assert_array_equal(counted(x, edges, partial=True)[0], wanted)

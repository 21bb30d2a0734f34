"""HistogramCalibrator: what it collects, in every mode, and what it refuses."""
from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c.calib import HistogramCalibrator

from ..patience import least_held
from . import paper

METHODS: list[dict[str, Any]] = [{"method": "entropy"}, {"method": "mse", "stride": 3}, {"method": "percentile"}]


def collected(batches: Any, axis: Any = None, name: str | None = None, **options: Any) -> Any:
    calibrator = HistogramCalibrator(8, axis, False, **options)
    calibrator.name = name
    for batch in batches:
        calibrator.collect(batch)
    return calibrator


def growing(rng: np.random.Generator, dtype: Any = np.float32) -> list[Any]:
    return [(rng.normal(size=(4, 3, 50)) * scale).astype(dtype) for scale in (1, 3, 0.1, 7)]


def test_numpy_histogram(rng: np.random.Generator) -> None:
    for bins in (1, 100, 2048):
        batches = growing(rng)
        hist, edges = paper.numpy_collected(batches, bins)
        calibrator = collected(batches, num_bins=bins, torch_hist=False)
        np.testing.assert_array_equal(calibrator._calib_hist, hist)
        np.testing.assert_array_equal(calibrator._calib_bin_edges, edges)
    narrow = np.float32(1000 + np.arange(450) * 2.0 ** -14)     # bins of some four floats: roundings decide
    np.testing.assert_array_equal(collected([narrow], num_bins=100, torch_hist=False)._calib_hist,
                                  np.histogram(narrow, 100)[0])


def test_torch_histogram(rng: np.random.Generator) -> None:
    """The first batch; then whole bins of its width, and every batch in equal parts of the whole range."""
    batches = growing(rng)
    calibrator = collected(batches[:1], num_bins=100)
    top = np.abs(batches[0]).max()
    place = np.minimum((np.abs(batches[0]) * np.float32(100) / top).astype(int), 99)
    np.testing.assert_array_equal(calibrator._calib_hist, np.bincount(place.ravel(), minlength=100))
    assert calibrator._calib_bin_edges[-1] == top and calibrator._calib_bin_edges[1] == top / np.float32(100)
    for batch in batches[1:]:
        calibrator.collect(batch)
    edges = calibrator._calib_bin_edges
    assert calibrator._calib_hist.sum() == sum(batch.size for batch in batches)
    assert len(edges) == len(calibrator._calib_hist) + 1 and edges[-1] >= max(np.abs(each).max() for each in batches)
    np.testing.assert_allclose(np.diff(edges), top / 100, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
def test_skip_zeros(options: dict[str, Any], rng: np.random.Generator) -> None:
    batches = [np.maximum(each, 0) for each in growing(rng)]
    full = collected(batches, **options)
    some = collected(batches, skip_zeros=True, **options)
    zeros = sum(np.count_nonzero(each == 0) for each in batches)
    if options.get("torch_hist", True):
        assert full._calib_hist.sum() - some._calib_hist.sum() == zeros > 0
        np.testing.assert_array_equal(full._calib_hist[1:], some._calib_hist[1:])
    else:       # begins at the least value that is not 0
        first = np.abs(batches[0][batches[0] != 0])
        assert some._calib_bin_edges[0] == first.min()
        assert full._calib_hist.sum() == sum(each.size for each in batches) > some._calib_hist.sum() + zeros - 9


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("axis", [None, 1])
def test_types(dtype: Any, axis: Any, rng: np.random.Generator) -> None:
    """Counted as the float32 numbers they are rounded to."""
    batches = growing(rng, dtype)
    a, b = collected(batches, axis), collected([each.astype(np.float32) for each in batches], axis)
    for got, wanted in zip(a._rows(), b._rows(), strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])
    assert a.compute_amax().dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), [1, 0], (0, 1, 2)])
@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
def test_a_channel_is_a_calibrator_of_its_own(axis: Any, options: dict[str, Any], rng: np.random.Generator) -> None:
    batches = [each[:, :, :5] * np.float32([1, 2, 0.1])[:, None] for each in growing(rng)]
    calibrator = collected(batches, axis, num_bins=64, **options)
    kept = [i % 3 for i in (axis if isinstance(axis, tuple | list) else [axis])]
    shape = tuple(n if i in kept else 1 for i, n in enumerate((4, 3, 5)))
    for compute in METHODS:
        compute = {**compute, **({} if compute["method"] == "percentile" else {"start_bin": 32})}
        amax = calibrator.compute_amax(**compute)
        assert amax.shape == (shape if np.prod(shape) > 1 else ())
        full = np.broadcast_to(amax.reshape(shape), (4, 3, 5))
        for at in list(np.ndindex(4, 3, 5))[::7]:
            place = tuple(at[i] if i in kept else slice(None) for i in range(3))
            alone = collected([each[place] for each in batches], num_bins=64, **options)
            assert full[at] == alone.compute_amax(**compute)


def test_a_collected_range_does_not_reach_every_later_value(rng: np.random.Generator) -> None:
    """torch_hist=False begins at the first batch's least magnitude, as the original: smaller ones are lost."""
    calibrator = collected([np.float32([1, 2]), np.float32([0.5, 1.5])], num_bins=4, torch_hist=False)
    assert calibrator._calib_hist.tolist() == [1, 0, 1, 1] and calibrator._calib_bin_edges[0] == 1


floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(floats32, min_size=1, max_size=9), min_size=1, max_size=8), st.randoms(),
       st.sampled_from([2, 16, 256]), st.booleans(), st.integers(1, 8))
def test_doubling_does_not_depend_on_batching(batches: list[list[float]], random: Any, bins: int, skip: bool,
                                              parts: int) -> None:
    def made(batches: Any) -> Any:
        return collected([np.float32(each) for each in batches], num_bins=bins, skip_zeros=skip, grow_method="double")
    whole = made([sum(batches, [])])
    values = sum(batches, [])
    random.shuffle(values)
    merged = made(values[i::parts] for i in range(1) if values[i::parts])
    for i in range(1, parts):
        if values[i::parts]:
            merged.merge(made([[value] for value in values[i::parts]]))
    for other in (made(batches), merged, made([[value] for value in values])):
        np.testing.assert_array_equal(other._calib_hist, whole._calib_hist)
        np.testing.assert_array_equal(other._calib_bin_edges, whole._calib_bin_edges)
    kept = [value for value in values if np.float32(value) != 0 or not skip]
    assert whole._calib_hist.sum() == len(kept)
    top = max(abs(value) for value in values)
    if 2.0 ** -60 < top < 2.0 ** 127:
        hist, edges = paper.doubling(kept, bins)
        np.testing.assert_array_equal(whole._calib_hist, hist)
        np.testing.assert_array_equal(whole._calib_bin_edges, edges.astype(np.float32))
        np.testing.assert_array_equal(whole._calib_bin_edges[-1] > top, True)


def test_doubling_at_the_ends_of_the_range() -> None:
    calibrator = collected([np.float32([1e-45, 1e-30])], num_bins=4, grow_method="double")
    assert calibrator._calib_bin_edges[-1] == 2.0 ** -64 and calibrator._calib_hist.tolist() == [2, 0, 0, 0]
    calibrator.collect(np.float32([3.4e38, 1.0]))
    assert calibrator._calib_hist.tolist() == [3, 0, 0, 1]
    assert calibrator._calib_bin_edges[-1] == np.finfo(np.float32).max
    calibrator.collect(np.float32([2.0 ** 126, 2.0 ** 127]))
    assert calibrator._calib_hist.tolist() == [3, 1, 1, 1]


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("method", METHODS, ids=lambda options: options["method"])
def test_merging(axis: Any, method: dict[str, Any], rng: np.random.Generator) -> None:
    batches = growing(rng)
    whole = collected(batches, axis, grow_method="double")
    a, b = collected(batches[:1], axis, grow_method="double"), collected(batches[1:], axis, grow_method="double")
    before = copy.deepcopy(b)
    empty = collected([], axis, grow_method="double")
    for part in (pickle.loads(pickle.dumps(b)), empty):
        a.merge(part)
    empty.merge(a)
    assert repr(b) == repr(before) and repr(a) == repr(whole) == repr(empty)
    np.testing.assert_array_equal(a.compute_amax(**method), whole.compute_amax(**method))
    same = collected(batches[:1], axis)
    same.merge(collected(batches[:1], axis))
    for (twice, _), (once, _) in zip(same._rows(), collected(batches[:1], axis)._rows(), strict=True):
        np.testing.assert_array_equal(twice, 2 * once)


def test_merging_zeros() -> None:
    zeros, numbers = np.zeros(3, np.float32), np.float32([0.5, 4])
    for first, second in ((zeros, numbers), (numbers, zeros)):
        calibrator = collected([first], num_bins=8)
        calibrator.merge(collected([second], num_bins=8))
        assert calibrator._calib_hist.tolist() == [3, 1, 0, 0, 0, 0, 0, 1] and calibrator._calib_bin_edges[-1] == 4
    with pytest.raises(ValueError, match="begin at 0"):
        collected([numbers], num_bins=8, torch_hist=False).merge(collected([zeros], num_bins=8, torch_hist=False))


def test_what_cannot_be_merged(rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=(4, 3)))
    plain, double = collected([x]), collected([x], grow_method="double")
    for other, error, message in ((collected([2 * x]), ValueError, "grow_method='double'"),
                                  (double, ValueError, "grow_method"),
                                  (collected([x], 0), ValueError, "axis"),
                                  (collected([x], skip_zeros=True), ValueError, "skip_zeros"),
                                  (HistogramCalibrator(7, None, False), ValueError, "num_bits=8.*got 7"),
                                  (x, TypeError, "got ndarray")):
        with pytest.raises(error, match=message):
            plain.merge(other)
    with pytest.raises(ValueError, match="num_bins"):
        double.merge(collected([x], num_bins=64, grow_method="double"))
    with pytest.raises(ValueError, match=r"shape \(4, 1\), got \(3, 1\)"):
        collected([x], 0, grow_method="double").merge(collected([x[:3]], 0, grow_method="double"))
    assert plain._calib_hist.sum() == x.size


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}])
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("first", [False, True])
def test_not_finite(options: dict[str, Any], axis: Any, first: bool, rng: np.random.Generator) -> None:
    """Refused with the quantiser's name; nothing of the batch is kept, of any channel."""
    good = np.float32(rng.normal(size=(3, 40)))
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        calibrator = collected([] if first else [good], axis, "conv1", **options)
        before = repr(calibrator)
        x = np.float64(good) * 0.5
        x[2, 5] = bad
        with pytest.raises(ValueError, match="'conv1'.*[01] NaN and [01] infinite"):
            calibrator.collect(x)
        assert repr(calibrator) == before


@pytest.mark.parametrize("axis", [None, 0])
def test_not_finite_doubling(axis: Any, caplog: pytest.LogCaptureFixture, rng: np.random.Generator) -> None:
    """Left out, counted, reported once with the name."""
    good = np.float32(rng.normal(size=(3, 40)))
    bad = np.insert(good, [3, 9], np.float32([[np.nan, -np.inf]] * 3), axis=1)
    calibrator = collected([good, good], axis, "conv1", grow_method="double")
    with caplog.at_level(logging.WARNING):
        dirty = collected([bad, bad], axis, "conv1", grow_method="double")
    assert len(caplog.records) == 1 and "conv1" in caplog.text
    assert repr(dirty) == repr(calibrator) and (dirty.num_nan, dirty.num_inf) == (6, 6)
    np.testing.assert_array_equal(dirty.compute_amax(), calibrator.compute_amax())
    dirty.merge(dirty)
    assert (dirty.num_nan, dirty.num_inf) == (12, 12)
    only = collected([np.full((3, 2), np.nan, np.float32)], axis, grow_method="double")
    assert not np.any(only.compute_amax()) and only.num_nan == 6
    dirty.reset()
    assert (dirty.num_nan, dirty.num_inf, dirty.compute_amax()) == (0, 0, None)


def test_asking_changes_nothing_and_reset_forgets(rng: np.random.Generator) -> None:
    calibrator = collected(growing(rng))
    assert collected([]).compute_amax() is None and collected([]).compute_amax("mse") is None
    before = repr(calibrator)
    first = [calibrator.compute_amax(**method) for method in METHODS]
    assert first == [calibrator.compute_amax(**method) for method in METHODS] and repr(calibrator) == before
    assert calibrator.compute_amax() == first[0] and first[0].dtype == np.float32 and first[0].shape == ()
    calibrator.reset()
    assert calibrator.compute_amax() is None and str(calibrator) == "HistogramCalibrator(calib_bin_edges=None)"
    calibrator.collect([1.0, -2.0])
    assert calibrator._calib_bin_edges[-1] == 2


def test_inputs_stay(rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=(6, 5, 4)))
    x.flags.writeable = False
    before = x.copy()
    for axis in (None, 1):
        for view in (x, x.T, x[::2, :, ::-1]):
            calibrator = collected([view, 2 * view], axis)
            assert sum(counts.sum() for counts, _ in calibrator._rows()) == 2 * view.size
    np.testing.assert_array_equal(x, before)


def test_text(rng: np.random.Generator) -> None:
    calibrator = HistogramCalibrator(4, 0, True, num_bins=16)
    assert repr(calibrator) == ("HistogramCalibrator(num_bits=4 axis=0 unsigned=True calib_bin_edges=None "
                                "calib_hist=None)")
    calibrator.collect(np.float32([[1, 0.5], [0, 4], [2, 2]]))
    assert str(calibrator) == "HistogramCalibrator(calib_bin_edges=[0.000, ..., 4.000](17) x 3)"


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
@pytest.mark.parametrize("axis", [None, 1])
def test_a_file(options: dict[str, Any], axis: Any, tmp_path: Any, rng: np.random.Generator) -> None:
    calibrator = collected(growing(rng), axis, "conv1", num_bins=64, **options)
    calibrator.save(tmp_path / "state")
    other = HistogramCalibrator(3, None, True)
    other.load(tmp_path / "state")
    assert vars(other).keys() >= vars(calibrator).keys() and repr(other) == repr(calibrator)
    np.testing.assert_array_equal(other.compute_amax(start_bin=32), calibrator.compute_amax(start_bin=32))
    calibrator.collect(np.full((4, 3, 50), 20, np.float32))
    other.collect(np.full((4, 3, 50), 20, np.float32))
    assert repr(other) == repr(calibrator)
    assert (tmp_path / "state").stat().st_size < 100_000
    collected([]).save(tmp_path / "empty")
    other.load(tmp_path / "empty")
    assert other.compute_amax() is None


def test_memory_is_constant(rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=(8, 200)))
    for calibrator in (collected([4 * x]), collected([4 * x], 0), collected([x], grow_method="double")):
        calibrator.collect(x)

        def collect(times: int, calibrator: Any = calibrator) -> None:
            for _ in range(times):
                calibrator.collect(x)

        assert least_held(lambda: collect(500), 2000, settle=lambda: collect(500)) < 2000


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: collected([np.empty((0, 3), np.float32)], 2, name="fc"), ValueError, r"'fc'.*shape \(0, 3\)"),
    (lambda: collected([np.ones(3, int)]), TypeError, "int64"),
    (lambda: collected([np.ones((4, 3), np.float32), np.ones((5, 3), np.float32)], 0), RuntimeError,
     "amax shape changed!"),
    (lambda: collected([np.float32([1e-6]), np.float32([1e6])]), ValueError, "grow_method='double'"),
    (lambda: collected([np.float32([1e-6, 0]), np.float32([1e6])], torch_hist=False), ValueError, "'double'"),
    (lambda: collected([np.float32([1])]).compute_amax("other"), TypeError, "Unknown calibration method 'other'"),
    (lambda: HistogramCalibrator(8, None, False, num_bins=0), ValueError, "`num_bins`"),
    (lambda: HistogramCalibrator(8, None, False, num_bins=1 << 25), ValueError, "`num_bins`"),
    (lambda: HistogramCalibrator(8, None, False, num_bins=100, grow_method="double"), ValueError, "power of two"),
    (lambda: HistogramCalibrator(8, None, False, num_bins=1, grow_method="double"), ValueError, "power of two"),
    (lambda: HistogramCalibrator(8, None, False, num_bins=2.5), TypeError, "`num_bins`"),
])
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_refused_batch_leaves_everything() -> None:
    x = np.float32([[1, 2], [1e-9, 2e-9]])
    for axis, options in ((None, {}), (0, {}), (0, {"torch_hist": False})):
        calibrator = collected([x if axis == 0 else x[1:]], axis, **options)
        before = repr(calibrator)
        with pytest.raises(ValueError, match="first one"):
            calibrator.collect(x * np.float32([[1], [1e12]]) if axis == 0 else x[:1])
        assert repr(calibrator) == before

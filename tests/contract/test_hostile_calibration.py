"""Calibration with data, options and threads that nobody should have to think of."""
from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import calib, float_nn, nn, utils
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator
from pytorch_quantization_c.calib.distributed import load_amax

from ..patience import within

X = np.linspace(-1, 1, 600, dtype=np.float32).reshape(3, 4, 50)
AT_ONCE, BATCHES = 8, 40
HUGE = 10**5000  # more digits than Python prints


def histogram(*batches: Any, **options: Any) -> HistogramCalibrator:
    calibrator = HistogramCalibrator(8, None, False, **options)
    for batch in batches:
        calibrator.collect(batch)
    return calibrator


@pytest.mark.parametrize("torch_hist", [True, False])
@pytest.mark.parametrize("first", [1e-45, 1e-42, 1e-38])
def test_a_first_batch_of_almost_nothing(first: float, torch_hist: bool) -> None:
    with pytest.raises(ValueError, match="Expected a (first batch|batch of the size of the first one)"):
        histogram(np.float32([first, 3 * first]), np.float32([1.0]), torch_hist=torch_hist)


def test_the_largest_floats_have_a_middle() -> None:
    """Where the sum of two edges is beyond the range of float32; all values are in the last bins."""
    calibrator = histogram(np.float32([0, 3.4e38, 3.4e38, 3.38e38]), num_bins=256)
    edges = np.linspace(0, np.float64(np.float32(3.4e38)), 257).astype(np.float32).astype(float)
    found = calibrator.compute_amax("mse", start_bin=1)
    assert found in ((edges[:-1] + edges[1:]) / 2).astype(np.float32)[-3:]


@pytest.mark.parametrize(("options", "error"), [
    ({"method": ["entropy"]}, TypeError), ({"method": np.ones(3)}, TypeError), ({"method": "x" * 10**6}, TypeError),
    ({"method": "percentile", "percentile": "a"}, TypeError), ({"method": "percentile", "percentile": 1j}, TypeError),
    ({"method": "percentile", "percentile": np.ones(3)}, TypeError),
    ({"method": "percentile", "percentile": HUGE}, ValueError),
    ({"method": "entropy", "stride": HUGE}, ValueError), ({"method": "mse", "start_bin": 1.5}, TypeError),
])
def test_options_of_another_kind(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="method|percentile|stride|start_bin") as caught:
        histogram(X).compute_amax(**options)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("make", [MaxCalibrator, HistogramCalibrator])
@pytest.mark.parametrize(("bits", "axis", "error"), [
    ("8", None, TypeError), (99, None, ValueError), (8, 0.5, TypeError), (8, "y", TypeError),
    pytest.param(8, HUGE, ValueError, id="huge"),
])
def test_calibrators_check_what_descriptors_check(make: Any, bits: Any, axis: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="num_bits|axis"):
        make(bits, axis, False)


def test_a_report_of_one_bin(tmp_path: Path) -> None:
    calib.report(histogram(X, num_bins=1), tmp_path / "report.html")
    assert "percentile" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("bins", [0, -1, 2**40, pytest.param(HUGE, id="huge"), 2.5, None])
def test_weights_with_so_many_bins(bins: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="num_bins"):
        calib.calibrate_weights(nn.QuantLinear(3, 2), num_bins=bins)


def test_weights_of_no_model() -> None:
    with pytest.raises(TypeError, match="`model` to be a module"):
        calib.calibrate_weights(None)
    calib.calibrate_weights(float_nn.Linear(3, 2))


@pytest.mark.parametrize("amaxes", [None, [1.0], {"_input_quantizer": "x"}, {"_input_quantizer": [None]}], ids=str)
def test_an_amax_of_another_kind_is_refused_whole(amaxes: Any) -> None:
    layer = nn.QuantLinear(3, 2)
    with pytest.raises(TypeError, match="amaxes|_input_quantizer"):
        load_amax(layer, amaxes)
    assert layer.input_quantizer.amax is None


@pytest.mark.parametrize("axis", [itertools.count(), itertools.repeat(0)], ids=["count", "repeat"])
def test_axes_without_end(axis: Any) -> None:
    with pytest.raises(ValueError, match="`axis`"):
        utils.reduce_amax(X, axis)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_an_integer_without_a_magnitude(dtype: type) -> None:
    least = np.iinfo(dtype).min
    with pytest.raises(ValueError, match=f"without {least}"):
        utils.reduce_amax(np.array([5, least], dtype))
    assert utils.reduce_amax(np.array([5, least + 1], dtype)) == -(least + 1)
    with pytest.raises(ValueError, match="empty"):
        utils.reduce_amax(np.array([], dtype))
    with pytest.raises(MemoryError):  # a view of one number: its magnitudes would take 32 TiB and more
        utils.reduce_amax(np.broadcast_to(dtype(1), (2**45,)))


# ------------------------------------------------------------------------------------------------- several threads
def all_ended(workers: list[threading.Thread], timeout: float) -> bool:
    for worker in workers:
        worker.join(timeout / len(workers))
    return not any(worker.is_alive() for worker in workers)


def at_once(work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []
    gate = threading.Barrier(AT_ONCE)

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads change places in the middle of what is not protected
    try:
        for worker in workers:
            worker.start()
        alive = not within(60, lambda timeout: all_ended(workers, timeout))
    finally:
        sys.setswitchinterval(interval)
    assert not errors and not alive


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}], ids=str)
def test_one_histogram_of_many_threads_counts_everything(axis: int | None, options: dict[str, Any]) -> None:
    calibrator = HistogramCalibrator(8, axis, False, num_bins=64, **options)
    calibrator.collect(X / 4)

    def collect(number: int) -> None:
        for batch in range(BATCHES):
            calibrator.collect(X * np.float32(0.25 + (number * BATCHES + batch) % 7 / 8))  # it grows on the way
            calibrator.compute_amax("percentile", percentile=50)

    at_once(collect)
    rows = calibrator._rows()
    in_all = X.size * (AT_ONCE * BATCHES + 1)
    lost = 0 if options.get("torch_hist", True) else in_all // 100  # below the first edge nothing is counted
    assert in_all - lost <= sum(int(counts.sum()) for counts, _ in rows) <= in_all
    assert calibrator.compute_amax("percentile", percentile=100).max() >= 0.9


def test_one_maximum_of_many_threads() -> None:
    calibrator = MaxCalibrator(8, 1, False, track_amax=True)

    def collect(number: int) -> None:
        for batch in range(BATCHES):
            calibrator.collect(X * (1 + number * BATCHES + batch))

    at_once(collect)
    assert calibrator.compute_amax().max() == AT_ONCE * BATCHES and len(calibrator.amaxs) == AT_ONCE * BATCHES


def test_two_that_merge_each_other_do_not_wait_for_ever() -> None:
    one, two = histogram(X), histogram(X)
    at_once(lambda number: (one if number % 2 else two).merge(two if number % 2 else one))

"""MaxCalibrator and the base class of the calibrators."""
from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c.calib import MaxCalibrator
from pytorch_quantization_c.calib.calibrator import _Calibrator

from .. import oracle


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), [1, 2]])
def test_running_maximum(dtype: type, axis: Any, rng: np.random.Generator) -> None:
    calibrator = MaxCalibrator(8, axis, False, track_amax=True)
    batches = [(rng.normal(size=(3, 4, 5)) * scale).astype(dtype) for scale in (1, 3, 2)]
    kept = None if axis is None else (axis,) if isinstance(axis, int) else axis
    assert calibrator.compute_amax() is None and calibrator.axis == axis
    for count, batch in enumerate(batches, 1):
        calibrator.collect(batch)
        seen = [oracle.largest(each, kept).astype(np.float64) for each in batches[:count]]
        oracle.same(calibrator.compute_amax(), np.max(seen, 0).astype(dtype))
        oracle.same(calibrator.amaxs[-1], oracle.largest(batch, kept))
    for twin in (copy.deepcopy(calibrator), pickle.loads(pickle.dumps(calibrator))):
        oracle.same(twin.compute_amax(), calibrator.compute_amax())
    calibrator.reset()
    assert calibrator.compute_amax() is None and len(calibrator.amaxs) == 3


def test_nan_stays_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    calibrator = MaxCalibrator(8, None, False)
    with caplog.at_level(logging.WARNING):
        calibrator.collect(np.float32([1, np.nan]))
        calibrator.collect(np.float32([5]))
    assert np.isnan(calibrator.compute_amax()) and len(caplog.records) == 1
    calibrator.reset()
    calibrator.collect([1, -5])
    assert calibrator.compute_amax() == 5


def test_refusals() -> None:
    calibrator = MaxCalibrator(8, 0, False)
    calibrator.collect(np.ones((3, 2), np.float32))
    for call, error, message in ((lambda: calibrator.collect(np.ones((4, 2))), RuntimeError, "amax shape changed!"),
                                 (lambda: calibrator.collect("x"), TypeError, "`input`"),
                                 (lambda: MaxCalibrator(8, 2, False).collect(np.ones((3, 2))), ValueError, "axis 2"),
                                 (lambda: calibrator.amaxs, AttributeError, "track_amax=True"),
                                 (lambda: calibrator.compute_amax("mse"), ValueError, "'mse'"),
                                 (lambda: calibrator.compute_amax(colour=2), TypeError, "'colour'"),
                                 (lambda: _Calibrator(8, None, False), TypeError, "abstract")):
        with pytest.raises(error, match=message):
            call()
    oracle.same(calibrator.compute_amax(), np.ones((3, 1), np.float32))


def test_texts() -> None:
    assert str(MaxCalibrator(8, None, False)) == "MaxCalibrator(track_amax=False)"
    calibrator = MaxCalibrator(4, (0,), True)
    assert repr(calibrator) == "MaxCalibrator(num_bits=4 axis=(0,) unsigned=True calib_amax=None track_amax=False)"


def test_a_front_converts_on_the_way_in_and_out() -> None:
    class Boxed(MaxCalibrator):
        def _to_array(self, x: Any) -> Any:
            return np.asarray(x["data"])

        def _from_array(self, array: Any) -> Any:
            return {"data": array.tolist()}

    calibrator = Boxed(8, None, False)
    calibrator.collect({"data": np.float32([1, -4])})
    assert calibrator.compute_amax() == {"data": 4.0}


def test_merging(rng: np.random.Generator) -> None:
    batches = [rng.normal(size=(3, 4)).astype(np.float32) * scale for scale in (1, 5, 2)]
    for axis in (None, 0):
        a, b, whole = (MaxCalibrator(8, axis, False, track_amax=True) for _ in range(3))
        for calibrator, part in ((a, batches[:1]), (b, batches[1:]), (whole, batches)):
            for batch in part:
                calibrator.collect(batch)
        before = copy.deepcopy(b)
        a.merge(pickle.loads(pickle.dumps(b)))
        a.merge(MaxCalibrator(8, axis, False, track_amax=True))
        empty = MaxCalibrator(8, axis, False, track_amax=True)
        empty.merge(a)
        assert repr(b) == repr(before) and repr(a) == repr(whole) == repr(empty)
        empty.collect(10 * batches[0])
        assert repr(a) == repr(whole)
    with pytest.raises(TypeError, match="got ndarray"):
        a.merge(batches[0])
    with pytest.raises(ValueError, match="axis=0.*got None"):
        a.merge(MaxCalibrator(8, None, False, track_amax=True))
    other = MaxCalibrator(8, 0, False, track_amax=True)
    other.collect(batches[0][:2])
    with pytest.raises(ValueError, match=r"shape \(3, 1\), got \(2, 1\)"):
        a.merge(other)


def test_a_file(tmp_path: Any, rng: np.random.Generator) -> None:
    calibrator = MaxCalibrator((4, 3), (0, 1), True, track_amax=True)
    calibrator.collect(rng.normal(size=(3, 4, 2)))
    calibrator.save(tmp_path / "state")
    other = MaxCalibrator(8, None, False)
    other.load(tmp_path / "state")
    assert repr(other) == repr(calibrator)
    oracle.same(other.compute_amax(), calibrator.compute_amax())

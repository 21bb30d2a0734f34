"""Damaged and foreign files of calibrators are refused, and change nothing."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c._core.packing import pack
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator


@pytest.fixture
def calibrator() -> Any:
    made = HistogramCalibrator(8, None, False, num_bins=16)
    made.collect(np.float32([1, 2, 3]))
    return made


def rewritten(path: Path, **changes: Any) -> None:
    """The file with other arrays or metadata."""
    arrays, metadata = load_file(path)
    for name, value in changes.items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            metadata[name] = value
    save_file(arrays, path, metadata)


@pytest.mark.parametrize("changes", [
    {"format": "other"}, {"version": "2"}, {"class": "MaxCalibrator"}, {"state": "["}, {"state": "{}"},
    {"state": "[1]"}, {"_calib_hist": np.arange(16)[::-1].astype(np.int32)}, {"_calib_hist": -np.arange(16)},
    {"_calib_hist": np.arange(15)}, {"_calib_hist": np.zeros((4, 4), np.int64)},
    {"_calib_bin_edges": np.linspace(3, 0, 17, dtype=np.float32)},
    {"_calib_bin_edges": np.full(17, np.nan, np.float32)},
], ids=str)
def test_damaged(calibrator: Any, changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "state"
    calibrator.save(path)
    rewritten(path, **changes)
    before = repr(calibrator)
    with pytest.raises(ValueError, match="file of a calibrator"):
        calibrator.load(path)
    assert repr(calibrator) == before


def test_other_files(calibrator: Any, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"not a file of ours")
    with pytest.raises(ValueError, match="safetensors"):
        calibrator.load(path)
    MaxCalibrator(8, None, False).save(path)
    with pytest.raises(ValueError, match="one of a MaxCalibrator"):
        calibrator.load(path)
    arrays: dict[str, Any] = {}
    assert pack(vars(calibrator)["_calib_hist"], "x", arrays) == {"array": "x"}
    calibrator._strange = object()
    with pytest.raises(TypeError, match="plain data"):
        calibrator.save(path)

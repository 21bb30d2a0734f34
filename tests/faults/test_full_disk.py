"""A disk that is full, for every public callable that takes a path: OSError, the old file as it was, and no other."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pytorch_quantization_c import float_nn, freeze, nn

from ..fuzz import subjects
from ..fuzz.arguments import fitting

OLD = b"the old file"
FROZEN = ("save_frozen",)      # needs a model that is frozen
WRITERS = [each for each in subjects.subjects()
           if each.signature and {"path", "folder"} & each.signature.parameters.keys() and "load" not in each.name]


def full(*given: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("subject", WRITERS, ids=lambda subject: subject.name)
def test_the_disk_is_full(subject: subjects.Subject, call: str, tmp_path: Path,
                          monkeypatch: pytest.MonkeyPatch) -> None:
    given = subjects.needed(subject, fitting)
    if subject.name in FROZEN:
        given["model"] = freeze(float_nn.Sequential(nn.QuantLinear(4, 3)), keep_float=False)
    path = tmp_path / "file"
    given["path" if "path" in given else "folder"] = path
    if "path" in given:
        path.write_bytes(OLD)
    else:
        subject.make()(**given)
    made, before = subject.make(), contents(tmp_path)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        made(**given)
    monkeypatch.undo()
    assert contents(tmp_path) == before
    made(**given)
    assert contents(tmp_path) != before or "path" not in given


def test_the_writers() -> None:
    assert {each.name for each in WRITERS} >= {"save_quant_state", "save_frozen", "calib.report",
                                               "calib.HistogramCalibrator.save", "interchange.save_modelopt"}

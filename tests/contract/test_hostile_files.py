"""Files and paths that readers must not trip over; `tests/fuzz` damages files at random, here are the worst ones."""
from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import calib, demo, nn
from pytorch_quantization_c.graph.session import load_session
from pytorch_quantization_c.methods.rounding_state import RoundingState
from pytorch_quantization_c.model import sensitivity

PROGRAM = Path(demo.__file__).parent / "data" / "lenet.pqc"
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def layer() -> Any:
    return nn.QuantLinear(4, 3)


READERS: dict[str, Callable[[Any], Any]] = {
    "load_quant_state": lambda path: pq.load_quant_state(layer(), path),
    "load_frozen": lambda path: pq.load_frozen(layer(), path),
    "load_session": load_session,
    "calibrator": lambda path: calib.MaxCalibrator(8, None, False).load(path),
    "rounded weights": RoundingState,
    "sensitivity": lambda path: pq.sensitivity(layer(), [X], resume=path),
}


WRITERS: dict[str, Callable[[Any], Any]] = {
    "save_quant_state": lambda path: pq.save_quant_state(layer(), path),
    "save_frozen": lambda path: pq.save_frozen(pq.freeze(layer(), keep_float=False), path),
    "save": lambda path: calib.MaxCalibrator(8, None, False).save(path),
    "report": lambda path: calib.report(layer(), path),
    "program": lambda path: load_session(PROGRAM).save(path),
}


@pytest.mark.parametrize("name", [*READERS, *WRITERS])
def test_a_number_is_no_path(name: str) -> None:
    """open() would take it for a file that the caller has open, read or write it, and close it."""
    with open(os.devnull, "r+b") as mine:
        with pytest.raises(TypeError, match="(?i)path"):
            {**READERS, **WRITERS}[name](mine.fileno())
        os.fstat(mine.fileno())  # still open


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no endless device")
@pytest.mark.parametrize("name", READERS)
def test_a_file_without_end_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="ordinary file"):
        READERS[name]("/dev/zero")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [
    b"", b"[" * 100_000, b"9" * 5000, b"\xff\xfe", struct.pack("<Q", 90_000) + b"[" * 90_000,
], ids=["nothing", "depth", "digits", "no text", "depth in a header"])
def test_what_is_no_such_file_is_a_value_error(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Expected ") as caught:
        READERS[name](path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", ["10" * 300, '"9"', "true", "null", "[1]"])
def test_results_of_sensitivity_that_are_no_floats(value: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f'{{"format": {json.dumps(sensitivity.FORMAT)}, '
                    f'"metric": {json.dumps(sensitivity.SQNR)}, "layers": {{"(model)": {value}}}}}')
    with pytest.raises(ValueError, match="`resume`"):
        READERS["sensitivity"](path)


@pytest.mark.parametrize("value", ["x", None, 10**400, 1j, np.ones(3)], ids=lambda value: type(value).__name__)
def test_a_metric_that_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match="`metric` to return a number"):
        pq.sensitivity(layer(), metric=lambda model: value)


# ------------------------------------------------------------------------------------------- the digits of the demo
def digits_with(path: Path, name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    """The file of the demo with another member of this name."""
    source = Path(demo.__file__).parent / "data" / "lenet_digits.npz"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", method) as new:
        for member in old.namelist():
            new.writestr(member, content if member == name + ".npy" else old.read(member))


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", npy(""), npy("{}"), npy("(" * 500),
    npy("{'descr': '|O', 'fortran_order': False, 'shape': (500,)}"),
    npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,)}"),
    npy("{'descr': '|u1', 'fortran_order': True, 'shape': (500,)}") + bytes(500),
    npy("{'descr': '|u1', 'fortran_order': False, 'shape': (500,)}") + bytes(499),
    npy("{'descr': '|u1', 'fortran_order': False, 'shape': (500,)}") + bytes(1 << 26),  # a bomb: 64 kB in the file
], ids=["nothing", "half", "no header", "no keys", "depth", "objects", "a huge shape", "other order", "short", "bomb"])
def test_digits_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    digits_with(path, "test_labels", content)
    with pytest.raises(ValueError, match="undamaged .npz file"):
        demo.load_digits(path)


def test_digits_without_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="other arrays"):
        demo.load_digits(tmp_path / "digits.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="undamaged .npz file"):
        demo.load_digits(tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError):
        demo.load_digits(tmp_path / "absent.npz")

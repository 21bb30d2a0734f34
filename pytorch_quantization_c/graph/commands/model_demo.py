"""`demo --onnx model.onnx`: what quantising a file gains, without a line of Python."""
from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..._core.noise import Ratio
from ..files.reader import load
from ..interpreter.run import interpret
from ..quantizing import quantize
from ..session import Session
from .benchmark import Feeds, by_onnxruntime, file_feeds, random_feeds, timings

__all__ = ["DemoRow", "run_demo"]

Outputs = list[list[np.ndarray[Any, Any]]]


class DemoRow(NamedTuple):
    """What ran: SQNR of its outputs in dB (None for the float network), percent of samples with the same largest output
    (None where no output is a row of scores), microseconds of one call, and bytes of its file."""

    name: str
    sqnr: float | None
    same: float | None
    microseconds: float | None
    size: int | None


def sqnr(wanted: Outputs, got: Outputs) -> float:
    """10 log10(sum(wanted^2) / sum((wanted - got)^2)) in dB, over all float outputs; infinite if they are equal."""
    ratio = Ratio()
    for one, other in zip(wanted, got, strict=True):
        for a, b in zip(one, other, strict=True):
            if a.dtype.kind == "f":
                ratio.add(a, b)
    return ratio.sqnr


def agreement(wanted: Outputs, got: Outputs) -> float | None:
    """Percent of rows of the first output whose largest element is at the same place; None if it is not a matrix."""
    if any(one[0].ndim != 2 or one[0].shape[1] < 2 or one[0].dtype.kind != "f" for one in wanted):
        return None
    equal = [one[0].argmax(1) == other[0].argmax(1) for one, other in zip(wanted, got, strict=True)]
    return float(100 * np.mean(np.concatenate(equal)))


def _samples(session: Session, feeds: Feeds) -> list[Feeds]:
    """A batch one by one, where the first axis of every input is the batch; else the batch as it is."""
    count = {len(array) if array.ndim else 0 for array in feeds.values()}
    is_free = all(arg.shape and not isinstance(arg.shape[0], int) for arg in session.get_inputs())
    if not is_free or len(count) != 1:
        return [feeds]
    return [{name: array[at:at + 1] for name, array in feeds.items()} for at in range(count.pop())]


def _halves(session: Session, options: argparse.Namespace) -> tuple[list[Feeds], list[Feeds], str]:
    """Samples to calibrate with, samples to measure on, and a note that describes them."""
    if options.data is None:
        feeds = random_feeds(session, options)
        return [feeds], [random_feeds(session, options, seed=1)], "random inputs, noise means little: give --data"
    found = [sample for feeds in file_feeds(session, options.data) for sample in _samples(session, feeds)]
    if len(found) == 1:
        return found, found, "measured on the one sample that it was calibrated with"
    half = len(found) // 2
    return found[:half], found[half:], f"calibrated with {half} samples, measured on {len(found) - half} others"


def _size(path: Path) -> int:
    """Bytes of a file and of its external data."""
    beside = path.with_name(path.name + ".data")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


def measured(options: argparse.Namespace) -> tuple[list[DemoRow], str]:
    """Quantises the file of `options.onnx`; a row for the float network in onnxruntime, and here in three ways."""
    path = Path(options.onnx)
    model, float_session = load(path), Session(path, 1)
    calibration, test, note = _halves(float_session, options)
    int8 = quantize(model, calibration)
    session = Session(int8, 1)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.pqc"
        session.save(program)
        sizes = {"float": _size(path), "8 bits, one program": program.stat().st_size}
    wanted = [float_session.run(None, feeds) for feeds in test]
    found = {"float": wanted, "8 bits, operator by operator": [interpret(int8, feeds) for feeds in test],
             "8 bits, one program": [session.run(None, feeds) for feeds in test]}
    runners: dict[str, Callable[[], Any] | str] = {
        "onnxruntime, float": by_onnxruntime(str(path), test[0], 1),
        "float": lambda: float_session.run(None, test[0]),
        "8 bits, operator by operator": lambda: interpret(int8, test[0]),
        "8 bits, one program": lambda: session.run(None, test[0]),
    }
    times = {each.name: each.milliseconds for each in timings(runners, rounds=3)}
    rows = []
    for name, milliseconds in times.items():
        outputs = found.get(name)
        noise = None if outputs is None or outputs is wanted else sqnr(wanted, outputs)
        same = None if outputs is None else agreement(wanted, outputs)
        if outputs is not None or milliseconds is not None:
            rows.append(DemoRow(name, noise, same, None if milliseconds is None else 1000 * milliseconds,
                                sizes.get(name)))
    return rows, note


def table(rows: list[DemoRow], title: str, note: str) -> str:
    """The rows in columns, and below them what was measured on."""
    width = max(len(title), *(len(row.name) for row in rows))
    lines = [f"{title:{width}} {'same class':>11} {'SQNR':>9} {'us / call':>11} {'file':>10}"]
    for row in rows:
        cells = ("" if row.same is None else f"{row.same:.1f} %", "" if row.sqnr is None else f"{row.sqnr:.1f} dB",
                 "" if row.microseconds is None else f"{row.microseconds:.0f}",
                 "" if row.size is None else f"{row.size / 1e6:.2f} MB")
        lines.append(f"{row.name:{width}} {cells[0]:>11} {cells[1]:>9} {cells[2]:>11} {cells[3]:>10}".rstrip())
    return "\n".join([*lines, f"One thread; {note}."])


def run_demo(options: argparse.Namespace) -> None:
    """Measures and prints.

    Raises:
        ValueError, TypeError, OSError: a file that is no model, or data that do not fit.
    """
    rows, note = measured(options)
    print(table(rows, Path(options.onnx).name, note))

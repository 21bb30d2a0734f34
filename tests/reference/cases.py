"""The recorded answers of the original in `data/`: loading them, and comparing ours with them.

A test module replays one category:

    @pytest.mark.parametrize("case", cases("02_gradients"), ids=str)
    def test_gradients(case): check(case, replay, EXPECTED)

`replay(case, given)` returns an Outcome. `data/deviations.json` lists the cases in which we differ on purpose, each
with the row of the list of deviations; `check` asserts that a case disagrees exactly if it is listed there, and then
that the row's own expectation, a function of case and outcome, holds.
"""
from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

DATA = Path(__file__).parent / "data"
DEVIATIONS: dict[str, str] = json.loads((DATA / "deviations.json").read_text())
RTOL = ATOL = 1e-5      # `close`; the second is a fraction of the largest value expected

# What may be raised in place of the recorded class; subclasses always may.
ALSO = {"RuntimeError": {"ValueError", "KeyError"},     # shapes, empty reductions
        "IndexError": {"ValueError"},                   # axes of length 0
        "AttributeError": {"TypeError"}}                # a number where the original wants a tensor


@dataclass
class Outcome:
    """What a replay gave: arrays, other values, which of those raised, and the exception that ended it."""

    outputs: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    error: Exception | None = None
    at: int | str | None = None


def plain(value: Any) -> Any:
    """A JSON argument as Python: {"tuple": ...} and {"array": ...} become what they say."""
    if isinstance(value, dict):
        if set(value) == {"tuple"}:
            return tuple(plain(each) for each in value["tuple"])
        if set(value) == {"array"}:
            return np.array(value["array"])
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


class Case:
    """One recorded call."""

    def __init__(self, category: str, entry: dict[str, Any]) -> None:
        self.category, self.entry = category, entry
        self.id: str = entry["id"]
        self.call: str = entry["call"]
        self.note: str = entry["note"] or ""
        self.raises: str | None = entry["raises"]
        self.match: str = entry["match"]
        self.args: Any = plain(entry["args"])
        self.values: Any = plain(entry.get("values") or {})

    def __str__(self) -> str:
        return self.id.rpartition("-")[2]

    def _array(self, part: str, name: str) -> Any:
        stored = arrays(self.category)[self.entry[part][name]]
        return stored.view(ml_dtypes.bfloat16) if name in self.entry.get("bfloat16", ()) else stored

    def given(self) -> dict[str, Any]:
        """The arguments that are arrays, copies but for recorded views."""
        found = {name: self._array("inputs", name).copy() for name in self.entry["inputs"]}
        for operation, how in self.entry.get("views", []):
            x = found["inputs"]
            found["inputs"] = (x.transpose(how) if operation == "transpose" else
                               x[tuple(slice(*cut) for cut in how)] if operation == "slice" else
                               np.broadcast_to(x, how))
        return found

    def wanted(self) -> dict[str, Any]:
        """The results that are arrays."""
        return {name: self._array("outputs", name) for name in self.entry["outputs"]}


@functools.cache
def arrays(category: str) -> Mapping[str, Any]:
    file = DATA / f"{category}.npz"
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


@functools.cache
def cases(category: str, call: str = "") -> list[Case]:
    """The cases of a category, those whose call begins with `call`."""
    entries = json.loads((DATA / f"{category}.json").read_text())
    found = [Case(category, entry) for entry in entries if entry["call"].startswith(call)]
    assert found, f"no case of {call!r} in {category}"
    return found


def array_problem(wanted: Any, got: Any, exact: bool = True) -> str | None:
    """Why an array is not the recorded one: type, shape or numbers. The sign of zero does not count."""
    if not isinstance(got, np.ndarray | np.generic | float):
        return f"is {got!r:.60}, no array"
    got = np.asarray(got, None if isinstance(got, np.ndarray | np.generic) else wanted.dtype)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return f"is {got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}"
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        good = (a == b) | (np.isnan(a) & np.isnan(b))
        if not exact:
            finite = np.abs(a[np.isfinite(a)])
            good |= np.abs(a - b) <= RTOL * np.abs(a) + ATOL * (finite.max() if finite.size else 0)
    return None if good.all() else f"differs in {np.count_nonzero(~good)} of {good.size} places"


def same_text(wanted: str, got: str) -> bool:
    """Equal, but for how an array is printed: numbers inside brackets count to three digits."""
    if "tensor(" not in wanted:
        return wanted == got

    def neutral(text: str) -> str:
        text = re.sub(r"tensor\((.*?)\)", r"\1", text, flags=re.S)
        return re.sub(r"\s*([\[\],])[\s,]*", r"\1", re.sub(r"-?\d+\.\d*", lambda n: f"{float(n[0]):.3f}", text))
    return neutral(wanted) == neutral(got)


def value_problem(wanted: Any, got: Any) -> str | None:
    """Why a recorded value that is no array differs; a recorded list may be an array of ours."""
    if isinstance(got, np.ndarray):
        got = got.tolist()
    same = same_text(wanted, got) if isinstance(wanted, str) and isinstance(got, str) else (
        type(wanted) is type(got) and wanted == got)
    return None if same else f"is {got!r:.200} instead of {wanted!r:.200}"


def raises_as_recorded(error: Exception, wanted: str) -> bool:
    return any(cls.__name__ in {wanted} | ALSO.get(wanted, set()) for cls in type(error).__mro__)


def disagreement(case: Case, outcome: Outcome) -> str | None:
    """The first thing in which an outcome differs from the record; None if there is none."""
    if case.raises or outcome.error:
        if case.raises and outcome.error and raises_as_recorded(outcome.error, case.raises):
            at = case.entry.get("raised_at")
            return None if at is None or at == outcome.at else f"raised at {outcome.at} instead of {at}"
        return f"{case.raises} was recorded, {outcome.error!r} raised"
    for name, wanted in case.wanted().items():
        if name.startswith("grad:") and name not in outcome.outputs:
            continue        # only the twin has gradients of layers
        exact = case.match == "exact" or name in ("quant_input", "quant_weight") or (
            case.match.startswith("exact except") and "clip_value_" not in name)
        problem = array_problem(wanted, outcome.outputs.get(name), exact)
        if problem:
            return f"{name} {problem}"
    for name, wanted in case.values.items():
        problem = "is missing" if name not in outcome.values else value_problem(wanted, outcome.values[name])
        if problem:
            return f"{name} {problem}"
    for name, wanted in (case.entry.get("failures") or {}).items():
        if name not in outcome.failures or not raises_as_recorded(outcome.failures[name], wanted):
            return f"{name} does not raise {wanted}"
    return None


Replay = Callable[[Case, dict[str, Any]], Outcome]
Expectation = Callable[[Case, Outcome], None]


def check(case: Case, replay: Replay, expected: Mapping[str, Expectation]) -> None:
    """The assertion of a reference test; `expected` has, for each row of deviations, what must hold instead."""
    given = case.given()
    before = {name: array.copy() for name, array in given.items()}
    with np.errstate(all="ignore"):
        outcome = replay(case, given)
    for name, array in given.items():
        assert array.tobytes() == before[name].tobytes(), f"`{name}` was changed"
    problem = disagreement(case, outcome)
    row = DEVIATIONS.get(case.id)
    if row is None:
        assert problem is None, f"{case.call} {case.args}: {problem}"
        return
    assert problem is not None, f"listed under {row}, but agrees with the record"
    with np.errstate(all="ignore"):
        expected[row](case, outcome)


def attempt(outcome: Outcome, at: int | str | None, function: Callable[[], Any]) -> Any:
    """What `function` returns; what it raises goes into the outcome."""
    try:
        return function()
    except Exception as error:
        outcome.error, outcome.at = error, at
        return None

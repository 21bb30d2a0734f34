"""Every public callable with arguments of any kind: an answer or one clear refusal. `make fuzz` goes on for longer."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytorch_quantization_c import tensor_quant

from . import calls, subjects
from .limits import address_space

SUBJECTS = subjects.subjects()
ROUNDS = 6


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    with address_space():
        yield


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_any_arguments_give_an_answer_or_a_refusal(subject: subjects.Subject) -> None:
    for seed in range(ROUNDS):
        assert calls.attempt(subject, Random(f"{seed} {subject.name}")) is None, f"with seed {seed}"


def test_the_list_is_whole() -> None:
    """Every public name is a subject or an exception, and no exception is of something that is not there."""
    names = {subject.name for subject in SUBJECTS}
    everything = set(subjects.public_names())
    assert everything - names <= set(subjects.ELSEWHERE)
    assert all(path in everything or path.rpartition(".")[0] in everything for path in subjects.ELSEWHERE)
    assert {"QuantDescriptor.from_yaml", "TensorQuantizer.amax", "PackedWeights.__call__", "init.uniform_"} <= {
        ".".join(name.split(".")[-2:]) for name in names}
    assert len(names) == len(SUBJECTS) > 400


def test_what_is_elsewhere_is_there() -> None:
    """The file that a reason names is there, and has the callable. The extras' own lists say what is in none."""
    root = Path(__file__).parents[2]
    files = {path: reason.split("; ")[1] for path, reason in subjects.ELSEWHERE.items() if "; tests/" in reason}
    assert len(files) >= 4
    for path, file in files.items():
        assert f'"{path}"' in (root / file).read_text(), path
    assert all((root / file).exists() for file in subjects.APART.values())


def test_every_run_goes_through_the_same_list() -> None:
    """Fuzzers, threads, soak and injected failures: a public callable is in all of them or in none."""
    from ..faults import test_public
    from . import soak, test_at_once

    names = [subject.name for subject in SUBJECTS]
    assert [subject.name for subject in soak.CALLED] == names
    for test in (test_public.test_memory_runs_out, test_at_once.test_calls_at_once,
                 test_any_arguments_give_an_answer_or_a_refusal):
        parameters, = [mark.args[1] for mark in test.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
        assert [subject.name for subject in parameters] == names


def new_function(inputs: Any, count: int = 3) -> float:
    return 1 / (count - 3) if count == 3 else 1.0


class NewClass:
    def method(self, text: str) -> str:
        return text.no_such_thing  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(("thing", "name", "problem"), [
    (new_function, "tensor_quant.brand_new", "ZeroDivisionError"),
    (NewClass, "tensor_quant.brand_new.method", "AttributeError"),
])
def test_a_new_public_callable_is_picked_up(thing: Any, name: str, problem: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is added to a public module is found, called, and found out."""
    assert name not in {subject.name for subject in subjects.subjects()}
    for part in (thing, getattr(thing, "method", None)):
        if part is not None:
            monkeypatch.setattr(part, "__module__", tensor_quant.__name__)
    monkeypatch.setattr(tensor_quant, "brand_new", thing, raising=False)
    monkeypatch.setattr(tensor_quant, "__all__", [*tensor_quant.__all__, "brand_new"])
    found = {subject.name: subject for subject in subjects.subjects()}
    assert name in found
    problems = {calls.attempt(found[name], Random(seed)) for seed in range(30)}
    assert any(problem in (each or "") for each in problems)

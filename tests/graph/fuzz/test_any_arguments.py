"""The public callables of the graph package with arguments of any kind, at once, and as memory runs out."""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Barrier, Thread
from typing import Any

import pytest

from pytorch_quantization_c import graph
from tests.faults import lines
from tests.fuzz.calls import settings_kept
from tests.fuzz.limits import address_space

from .attempts import attempt
from .subjects import ELSEWHERE, SUBJECTS

ROUNDS, AT_ONCE = 12, 6
WRITERS = ("report", "save", "custom_operator")
LASTING = ("custom_operator",)     # an operator is registered once, also if what follows fails


@pytest.fixture(autouse=True)
def bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with settings_kept(), address_space():
        yield


@pytest.mark.parametrize("name", SUBJECTS)
def test_any_arguments_give_an_answer_or_a_refusal(name: str) -> None:
    SUBJECTS[name].call(**SUBJECTS[name].given())
    for seed in range(ROUNDS):
        assert attempt(SUBJECTS[name], Random(f"{seed} {name}")) is None, f"with seed {seed}"


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in LASTING])
def test_memory_runs_out(name: str) -> None:
    assert not lines.problems(name, lambda: (SUBJECTS[name].call, SUBJECTS[name].given()))


@pytest.mark.parametrize("name", [name for name in SUBJECTS if not any(part in name for part in WRITERS)])
def test_calls_at_once(name: str) -> None:
    failures: list[BaseException] = []
    gate = Barrier(AT_ONCE)
    everything = [SUBJECTS[name].given() for _ in range(AT_ONCE)]

    def work(given: dict[str, Any]) -> None:
        gate.wait()
        try:
            SUBJECTS[name].call(**given)
        except BaseException as error:
            failures.append(error)

    workers = [Thread(target=work, args=(given,)) for given in everything]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert not failures and not any(worker.is_alive() for worker in workers)


def test_the_list_is_whole() -> None:
    """Every public name and every public method of a class has a subject, or a reason; every argument has a value."""
    names = set(graph.__all__)
    for name in graph.__all__:
        thing = getattr(graph, name)
        if inspect.isclass(thing) and not issubclass(thing, (tuple, Exception)):
            names |= {f"{name}.{each}" for each in dir(thing) if not each.startswith("_")}
    assert names == set(SUBJECTS) | ELSEWHERE
    for name in ("quantize", "calibrate", "compare", "auto_quantize", "save", "trace", "compile", "summary"):
        taken = inspect.signature(getattr(graph, name)).parameters
        assert set(taken) - {"options", "input", "weight"} == set(SUBJECTS[name].given()), name

"""Memory that runs out anywhere in the twin's public callables: MemoryError, and the next call works."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pytorch_quantization_c.torch as twin
from tests.faults import lines
from tests.fuzz.limits import address_space
from tests.fuzz.subjects import Subject

from . import subjects


@pytest.fixture(autouse=True)
def bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with address_space():
        yield
    twin.deactivate()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", subjects.found(), ids=lambda subject: subject.name)
def test_memory_runs_out(subject: Subject) -> None:
    assert not lines.problems(subject.name, lambda: (subject.make(), subjects.needed(subject)))

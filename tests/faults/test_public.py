"""Memory that runs out anywhere in any public callable: MemoryError, settings as they were, and the next call works."""
from __future__ import annotations

import numpy as np
import pytest

from ..fuzz import subjects
from ..fuzz.arguments import fitting
from . import lines

#: Its constructor alone changes the settings, for good; a block that cannot be entered leaves that.
LASTING = ("integer.float_only",)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", subjects.subjects(), ids=lambda subject: subject.name)
def test_memory_runs_out(subject: subjects.Subject) -> None:
    with np.errstate(all="ignore"):
        found = lines.problems(subject.name, lambda: (subject.make(), subjects.needed(subject, fitting)))
    assert not [each for each in found if not (subject.name in LASTING and "changed settings" in each)]


def forgets(values: list[int]) -> int:
    """A callable that loses what it was given when memory runs out."""
    kept = values[:]
    values.clear()
    values += kept
    return values[0]


def test_what_a_call_loses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "HOME", __file__.rpartition("/")[0])
    values = [1, 2]

    def make() -> lines.Made:
        values[:] = [1, 2]
        return forgets, {"values": values}

    assert any("IndexError" in each for each in lines.problems("forgets", make))

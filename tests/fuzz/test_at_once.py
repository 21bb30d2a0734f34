"""Every public callable from 8 threads at once: functions on the same arguments, methods on the same object."""
from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from . import calls, subjects
from .arguments import fitting
from .limits import address_space

AT_ONCE, TIMES = 8, 2
#: What belongs to the whole process or to the object is another's a moment later: no comparison.
CHANGES = (
    "initialize", "deactivate", "quantized", "replace", "manual_seed", "pop", "clear", "insert", "init.", "reset",
    "set_", "merge", "load", "collect", "Dropout", "dropout", "isa.", "only", "threads.", "sensitivity", "freeze",
    "append", "extend", "update", "register", "add_module", "calib", "TensorQuantizer", "save", "Module", "Batch",
    "apply", "requires_grad", "_.", "init_quantizer", "_tensor_quant_", "improve",
)


@pytest.fixture(autouse=True, scope="module")
def bounded() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with calls.settings_kept(), address_space():
        yield
    sys.setswitchinterval(interval)


def outcome(call: Any, arguments: dict[str, Any]) -> Any:
    try:
        with np.errstate(all="ignore"):
            result = call(**arguments)
            calls.use(result)
    except (*calls.REFUSALS, *calls.LIKE_TORCH, UserWarning) as error:
        return type(error)
    return (result.dtype.str, result.tobytes()) if isinstance(result, np.ndarray) else type(result)


@pytest.mark.parametrize("subject", subjects.subjects(), ids=lambda subject: subject.name)
def test_calls_at_once(subject: subjects.Subject) -> None:
    needed = subjects.needed(subject, fitting)
    shared, outcomes, failures = subject.make(), [], []
    gate = threading.Barrier(AT_ONCE)

    def work() -> None:
        gate.wait()
        try:
            for _ in range(TIMES):
                outcomes.append(outcome(shared, needed))
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not failures and len(outcomes) == AT_ONCE * TIMES
    if not any(part in subject.name for part in CHANGES):
        assert len(set(outcomes)) == 1, set(map(str, outcomes))


def test_most_outcomes_are_compared() -> None:
    names = [subject.name for subject in subjects.subjects()]
    compared = [name for name in names if not any(part in name for part in CHANGES)]
    assert len(compared) > 200

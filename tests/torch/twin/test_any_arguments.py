"""The twin's public callables, methods among them, with arguments of any kind, and at once."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import pytorch_quantization_c.torch as twin
from tests.fuzz.callables import OTHERS
from tests.fuzz.calls import DUCKS, NAMED, settings_kept, use
from tests.fuzz.limits import address_space
from tests.fuzz.subjects import Subject
from tests.patience import time_limit

from . import subjects

ROUNDS, SECONDS, AT_ONCE = 8, 20, 4
REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, MemoryError, OSError, KeyError)
SUBJECTS = subjects.found()
X = torch.linspace(-1, 1, 2 * 4 * 6).reshape(2, 4, 6)
TENSORS = (X, X.half(), X.double(), X.transpose(0, 2), X[:0], X.int(), X.to(torch.complex64), torch.tensor(2.0),
           X.bfloat16(), X.to("meta"))
SMALL = [other for other in OTHERS if not isinstance(other, int) or abs(other) < 2**40]


@pytest.fixture(autouse=True)
def bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with settings_kept(), address_space():
        yield
    twin.deactivate()  # what `initialize` has replaced


def any_arguments(subject: Subject, random: Random) -> dict[str, Any]:
    given = {}
    for name, each in {} if subject.signature is None else subject.signature.parameters.items():
        if each.kind is each.POSITIONAL_OR_KEYWORD and (each.default is each.empty or random.random() < 0.3):
            choice = random.random()
            given[name] = (random.choice(TENSORS) if choice < 0.5 else random.choice(SMALL) if choice < 0.8 else
                           subjects.fitting(subject.name, each))
    return given


def wrong(subject: Subject, error: Exception) -> bool:
    """Whether it is no refusal, or one without a word."""
    if isinstance(error, ImportError):
        return "pip install 'pytorch-quantization-c[" not in str(error)    # where that extra is not installed
    known = isinstance(error, REFUSALS)
    known |= isinstance(error, AttributeError) and any(part in subject.name for part in (*DUCKS, *NAMED))
    known |= isinstance(error, AssertionError | AttributeError) and "Embedding" in subject.name    # torch's own checks
    return not known or not (isinstance(error, MemoryError) or 0 < len(str(error)) < 1500)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_any_arguments_give_an_answer_or_a_refusal(subject: Subject) -> None:
    for seed in range(ROUNDS):
        given = any_arguments(subject, Random(f"{seed} {subject.name}"))
        before = [tensor.clone() for tensor in TENSORS]
        try:
            with time_limit(SECONDS), settings_kept():
                use(subject.make()(**given))
        except Exception as error:
            assert not wrong(subject, error), (seed, error)
            worked = False
        else:
            worked = True
        for tensor, kept in zip(TENSORS, before, strict=True):
            if not (tensor.is_meta or torch.equal(tensor, kept)):
                assert worked and subject.name.endswith("_"), seed
                tensor.copy_(kept)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_calls_at_once(subject: Subject) -> None:
    """From several threads on one object: answers and refusals, and no more."""
    shared, gate, failures = subject.make(), threading.Barrier(AT_ONCE), []
    given = [subjects.needed(subject) for _ in range(AT_ONCE)]

    def work(mine: dict[str, Any]) -> None:
        gate.wait()
        try:
            use(shared(**mine))
        except Exception as error:
            if wrong(subject, error):
                failures.append(error)

    workers = [threading.Thread(target=work, args=(each,)) for each in given]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not failures and not any(worker.is_alive() for worker in workers)


def test_the_list_is_whole() -> None:
    """Every public name of the twin is a subject, the package's own, or an exception with a reason."""
    names = {subject.name for subject in SUBJECTS}
    everything = set(subjects.public_names())
    assert everything - names <= set(subjects.ELSEWHERE) <= everything
    assert len(SUBJECTS) > 150 and {"nn.TensorQuantizer.amax", "calib.HistogramCalibrator.collect"} <= names

"""Distributed calibration that goes wrong: odd arguments, tasks that raise, memory that runs out in a collector."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import dask
import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c._core import cluster
from pytorch_quantization_c.calib import distributed
from tests.faults import lines
from tests.fuzz.arguments import STRANGE
from tests.fuzz.callables import OTHERS
from tests.fuzz.limits import address_space
from tests.patience import time_limit

from .expect import OPTIONS, check, loaders
from .graphs import batch, residual
from .models import Net

REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, MemoryError, AttributeError, OSError)
ROUNDS, SECONDS = 12, 20


def calibrated() -> lines.Made:
    return distributed.calibrate, {"model_factory": Net, "batches": loaders(12), "client": None,
                                   "method": "percentile", "percentile": 99.0}


def of_a_graph() -> lines.Made:
    model = graph.quantize(residual(), None)
    return graph.calibrate, {"model": model, "batches": [dask.delayed(batch)(number) for number in range(2)]}


def loaded() -> lines.Made:
    return distributed.load_amax, {"model": Net(), "amaxes": {"first": np.float32(2)}}


CALLS: dict[str, Callable[[], lines.Made]] = {
    "calib.distributed.calibrate": calibrated, "calib.distributed.load_amax": loaded, "graph.calibrate": of_a_graph,
}


@pytest.fixture(autouse=True)
def in_this_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"), address_space():
        yield
    assert not cluster._owned     # no model outlives its calibration


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_any_arguments_give_an_answer_or_a_refusal(name: str) -> None:
    for seed in range(ROUNDS):
        (call, given), random = CALLS[name](), Random(f"{seed} {name}")
        changed = random.choice(list(given))
        if seed:
            given[changed] = random.choice(OTHERS) if random.random() < 0.6 else random.choice(STRANGE)()
        try:
            with time_limit(SECONDS):
                call(**given)
        except REFUSALS as error:
            assert seed and (isinstance(error, MemoryError) or 0 < len(str(error)) < 1500), (seed, changed, error)


@pytest.mark.parametrize("name", CALLS)
def test_memory_runs_out(name: str) -> None:
    assert not lines.problems(name, CALLS[name])


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError("no file"), KeyError("no name")],
                         ids=lambda error: type(error).__name__)
def test_a_task_that_raises(error: Exception) -> None:
    """The caller gets the loader's own error, and the next calibration works."""
    def raising() -> Any:
        yield batch(0)
        raise error

    with pytest.raises(type(error), match=str(error)):
        distributed.calibrate(Net, [*loaders(12), lambda: raising()], **OPTIONS)
    check(distributed.calibrate(Net, loaders(12), **OPTIONS))

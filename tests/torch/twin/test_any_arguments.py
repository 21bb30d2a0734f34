"""The twin's public functions and constructors with arguments of any kind: an answer or one clear refusal."""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import calib, formats, nn, tensor_quant
from tests.fuzz.callables import OTHERS
from tests.fuzz.limits import address_space
from tests.patience import time_limit

ROUNDS, SECONDS = 12, 20
REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, MemoryError, OSError, KeyError)
MODULES = (twin, tensor_quant, formats, calib, nn)
#: They change what later imports find, or take a class of layers as it is defined.
ELSEWHERE = {"install", "pop_quant_desc_in_kwargs"}
X = torch.linspace(-1, 1, 2 * 4 * 6).reshape(2, 4, 6)
TENSORS = (X, X.half(), X.double(), X.transpose(0, 2), X[:0], X.int(), X.to(torch.complex64), torch.tensor(2.0),
           X.bfloat16(), X.to("meta"))
SMALL = [other for other in OTHERS if not isinstance(other, int) or abs(other) < 2**40]


def subjects() -> Iterator[Any]:
    for module in MODULES:
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            if callable(thing) and not isinstance(thing, ModuleType) and name not in ELSEWHERE:
                yield pytest.param(thing, id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.fixture(autouse=True)
def bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with address_space():
        yield
    twin.deactivate()  # what `initialize` has replaced


def arguments(thing: Any, random: Random) -> dict[str, Any]:
    found = {}
    for each in inspect.signature(thing).parameters.values():
        if each.kind is each.POSITIONAL_OR_KEYWORD and (each.default is each.empty or random.random() < 0.3):
            found[each.name] = random.choice(TENSORS) if random.random() < 0.6 else random.choice(SMALL)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("thing", list(subjects()))
def test_any_arguments_give_an_answer_or_a_refusal(thing: Any) -> None:
    for seed in range(ROUNDS):
        given = arguments(thing, Random(f"{seed} {thing.__name__}"))
        before = [tensor.clone() for tensor in TENSORS]
        try:
            with time_limit(SECONDS):
                thing(**given)
        except REFUSALS as error:
            assert isinstance(error, MemoryError) or 0 < len(str(error)) < 1500, (seed, error)
        except ImportError as error:
            assert "pip install 'pytorch-quantization-c[" in str(error), seed    # where that extra is not installed
        except AssertionError as error:
            assert "Embedding" in thing.__name__ and str(error), seed    # torch's own checks of its constructor
        for tensor, kept in zip(TENSORS, before, strict=True):
            assert tensor.is_meta or torch.equal(tensor, kept), seed

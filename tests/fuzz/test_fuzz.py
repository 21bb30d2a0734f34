"""Damaged files, senseless arguments: a clear refusal or an answer, never a crash. `make fuzz` goes on for longer."""
from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import callables, loaders
from .limits import address_space

SEEDS = st.integers(0, 2**32 - 1)
LOADERS = loaders.build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_an_intact_file_is_read(loader: loaders.Loader, folder: Path) -> None:
    path = folder / "intact"
    path.write_bytes(loader.data)
    loader.read(path)
    assert loaders.attempt(loader, loader.data, path) is None


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_a_damaged_file_is_read_or_refused(loader: loaders.Loader, folder: Path) -> None:
    refused = 0

    @settings(max_examples=120)
    @given(SEEDS)
    def check(seed: int) -> None:
        nonlocal refused
        data = loader.damage(loader.data, Random(seed))
        assert loaders.attempt(loader, data, folder / "damaged") is None
        try:
            loader.read(folder / "damaged")
        except Exception:
            refused += 1

    check()
    assert refused > 10, "the damage is too small to be seen"


@pytest.mark.parametrize("case", callables.CASES, ids=lambda case: case.name)
def test_any_arguments_give_an_answer_or_a_refusal(case: callables.Case) -> None:
    @settings(max_examples=15)
    @given(SEEDS)
    def check(seed: int) -> None:
        assert callables.attempt(case, Random(seed)) is None

    with address_space():
        check()

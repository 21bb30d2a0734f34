"""Saved programs of every kind of step, damaged at random: refused by a ValueError, or run; never without bounds."""
from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from tests.fuzz import loaders

from .test_float_mode import made
from .test_hostile_plans import OWN, feeds_of

TRIES = 40 * int(os.environ.get("PQC_TEST_SCALE", "1"))
IMAGES = 128    # channels as large as the input that a program may hold at a time
NAMES = ["resnet", "mobilenet", "branches", "swish", "squeeze", "groups", "attention", *OWN]


def program(name: str, rng: np.random.Generator) -> tuple[Any, Any]:
    return OWN[name](rng) if name in OWN else made(rng, name)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_programs(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    model, x = program(name, rng)
    feeds = feeds_of(model, x)
    graph.compile(model).save(tmp_path / "x.pqc")
    loader = loaders.Loader(name, (tmp_path / "x.pqc").read_bytes(), loaders.mutated_program,
                            lambda path: graph.load_session(path, num_threads=1).run(None, feeds),
                            least=max(loaders.MIN_BYTES, IMAGES * x.nbytes))
    assert loaders.attempt(loader, loader.data, tmp_path / "same") is None
    refused = 0
    for seed in range(TRIES):
        data = loader.damage(loader.data, Random(seed))
        assert loaders.attempt(loader, data, tmp_path / "damaged") is None, seed
        try:
            loader.read(tmp_path / "damaged")
        except ValueError:
            refused += 1
    assert TRIES / 4 < refused <= TRIES

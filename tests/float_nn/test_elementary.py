"""Sigmoid, tanh and erf of float32: close to the truth, and the same bits on every instruction set."""
from __future__ import annotations

import math

import numpy as np
import pytest

from pytorch_quantization_c import _C, isa
from tests.everywhere import everywhere

TRUTH = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "erf": np.vectorize(math.erf)}
ENDS = {"sigmoid": (0.0, 0.5, 1.0), "tanh": (-1.0, 0.0, 1.0), "erf": (-1.0, 0.0, 1.0)}  # of -inf, 0, inf


def floats() -> np.ndarray:
    """Of every exponent and sign, and many where the functions bend."""
    bits = np.arange(0, 0x7F80_0000, 36_013, dtype=np.uint32)
    positive = np.concatenate([bits.view(np.float32), np.linspace(0, 20, 40_001, dtype=np.float32)])
    return np.concatenate([positive, -positive])


@pytest.mark.parametrize("name", TRUTH)
def test_at_most_two_units_in_the_last_place(name: str) -> None:
    x = floats()
    with np.errstate(all="ignore"):
        wanted = TRUTH[name](x.astype(np.float64))
        unit = np.maximum(np.spacing(np.abs(wanted.astype(np.float32))), np.float32(2) ** -149).astype(np.float64)
    assert (np.abs(getattr(_C, name)(x) - wanted) / unit).max() <= 2


@pytest.mark.parametrize("name", TRUTH)
def test_the_ends(name: str) -> None:
    found = getattr(_C, name)(np.array([-np.inf, 0, np.inf, np.nan], np.float32))
    assert tuple(found[:3]) == ENDS[name] and np.isnan(found[3])


@pytest.mark.parametrize("name", TRUTH)
def test_the_same_bits_on_every_instruction_set(name: str) -> None:
    x = floats()[::7]
    with isa.only("scalar"):
        wanted = getattr(_C, name)(x).tobytes()
    for setting, found in everywhere(lambda: [getattr(_C, name)(part).tobytes() for part in (x, x[5:72])]).items():
        assert found == [wanted, wanted[20:288]], setting

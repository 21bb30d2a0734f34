"""`isa`: the test runs once with every instruction set in use (all that the machine runs, or those of PQC_ISA)."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytorch_quantization_c import isa as instruction_sets
from pytorch_quantization_c import threads


@pytest.fixture(params=instruction_sets.selected())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with instruction_sets.only(request.param):
        yield request.param


@pytest.fixture
def thread_count() -> Iterator[None]:
    """Puts back the number of threads that the test changes."""
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)

"""Calls from many Python threads at once give what one call gives, with any number of threads of ours."""
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pytorch_quantization_c import threads

from .surface import CASES, Case, same

AT_ONCE = 8
IN_PLACE = ("cuda_ext.fake_tensor_quant_",)


@pytest.fixture(params=[1, 3])
def thread_count(request: pytest.FixtureRequest) -> Iterator[int]:
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in IN_PLACE], ids=lambda case: case.name)
def test_calls_at_once_agree(case: Case, thread_count: int) -> None:
    expected = case()
    wrong: list[str] = []
    gate = threading.Barrier(AT_ONCE)

    def work() -> None:
        gate.wait()
        for _ in range(3):
            try:
                if not same(case(), expected):
                    wrong.append("another result")
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")

    workers = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong

"""The benchmark of layers: its own reference, its refusal of wrong answers, and the pages that it writes."""
from __future__ import annotations

import signal
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import threads

from .benchmarks import load

shapes, worker, report, peak, turns = map(load, ("layer_shapes", "layer_worker", "layer_report", "product_peak",
                                                 "layer_turns"))

SMALL = [shapes.Shape("conv", 3, 8, 3, 9, 2, 1), shapes.Shape("pointwise", 8, 4, 1, 5),
         shapes.Shape("depthwise", 6, 6, 3, 7, 1, 1, 6), shapes.Shape("linear", 16, 5, rows=3)]
PAGE = "before\n<!-- bench-layers -->\nintroduction\n<!-- /bench-layers -->\nafter\n"


def by_loops(shape: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Every output a sum over all that it depends on."""
    if shape.rows:
        return np.array([[row @ column + b for column, b in zip(weight, bias, strict=True)] for row in x])
    padded = np.pad(x, [(0, 0), (0, 0), *[(shape.padding, shape.padding)] * 2])
    out = (padded.shape[2] - shape.kernel) // shape.stride + 1
    answer = np.empty((len(x), shape.outputs, out, out))
    a_group = shape.outputs // shape.groups
    for n, c, i, j in product(*map(range, answer.shape)):
        first = c // a_group * weight.shape[1]
        top, left = i * shape.stride, j * shape.stride
        window = padded[n, first:first + weight.shape[1], top:top + shape.kernel, left:left + shape.kernel]
        answer[n, c, i, j] = (window * weight[c]).sum() + bias[c]
    return answer


@pytest.mark.parametrize("shape", SMALL, ids=lambda shape: shape.name)
def test_the_reference_is_the_layer(shape: Any) -> None:
    exact = by_loops(shape, *(array.astype(np.float64) for array in shape.data(2)))
    np.testing.assert_allclose(shape.reference(2), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SMALL, ids=lambda shape: shape.name)
def test_ours_is_accepted(shape: Any) -> None:
    before = threads.get_num_threads()
    try:
        for call in worker.ours(shape, 2, 1):
            worker.checked("ours", call, shape.reference(2))
    finally:
        threads.set_num_threads(before)


def test_a_wrong_answer_is_refused() -> None:
    exact = SMALL[0].reference(1)
    rough = exact + np.random.default_rng(0).normal(size=exact.shape) * exact.std() / 30  # 30 dB below
    worker.checked("ORT int8", lambda: rough, exact)
    for library, answer in (("ORT fp32", rough), ("ORT int8", exact[:, ::-1]), ("ours", exact[..., :-1])):
        with pytest.raises(AssertionError):
            worker.checked(library, lambda answer=answer: answer, exact)


def test_operations_are_multiplications_and_additions() -> None:
    assert [shape.operations(2) for shape in SMALL] == [
        2 * 2 * 25 * 8 * 27, 2 * 2 * 25 * 4 * 8, 2 * 2 * 49 * 6 * 9, 2 * 3 * 16 * 5]


def test_a_table_leaves_out_peers_without_a_time() -> None:
    times = {"ours": {"linear M1 768-768": 1e-5, "linear M1 64-64": 2e-6}, "torch fp32": {"linear M1 64-64": 3e-6},
             "absent": {}}
    rows = report.table(1, 2, times, peak.Peak("some", 100e9)).splitlines()
    assert rows[0] == "| layer | time | GOPS | of peak | torch fp32 / |"
    assert rows[2:] == ["| linear M1 768-768 | 10 us | 118 | 59 % | - |", "| linear M1 64-64 | 2 us | 4 | 2 % | 1.50 |"]
    assert "of peak" not in report.table(1, 1, times, None)


def test_a_run_replaces_the_section_of_its_own_machine() -> None:
    page = report.with_section(PAGE, "avx2", "old\n\n| a | b |")
    page = report.with_section(page, "vnni", "other")
    page = report.with_section(page, "avx2", "new")
    assert page == ("before\n<!-- bench-layers -->\nintroduction\n\n<!-- machine vnni -->\nother\n<!-- /machine -->\n\n"
                    "<!-- machine avx2 -->\nnew\n<!-- /machine -->\n<!-- /bench-layers -->\nafter\n")
    with pytest.raises(ValueError, match="bench-layers"):
        report.with_section("nothing", "avx2", "new")


def test_the_page_has_a_place_for_it() -> None:
    page = load("bench_layers").PAGE
    assert "\nNEW\n" in report.with_section(page.read_text(), "avx2", "NEW")


class Turns:
    """A worker that answers from a list, and writes down when it was asked."""

    def __init__(self, name: str, answers: list[float | None], asked: list[str]) -> None:
        self.name, self.answers, self.asked = name, answers, asked

    def ask(self, shape: str, seconds: float) -> float | None:
        self.asked.append(self.name)
        if not self.answers:
            raise turns.Gone("no more")
        return self.answers.pop(0)


def test_workers_take_turns_and_the_least_counts(capsys: Any) -> None:
    asked: list[str] = []
    rounds = turns.PASSES
    workers = {"ours": Turns("ours", [3.0, 2.0, 4.0, 5.0], asked), "none": Turns("none", [None] * rounds, asked),
               "peer": Turns("peer", [1.0, 1.5], asked)}
    assert turns.least(workers, ["shape"], rounds, 0.0, lambda what: None) == {
        "ours": {"shape": 2.0}, "none": {}, "peer": {}}
    assert capsys.readouterr().err == "peer left out: no more\n"
    for n in range(2):
        assert sorted(asked[3 * n:3 * n + 3]) == ["none", "ours", "peer"]
    assert asked.count("ours") == rounds and asked[0] != asked[3]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by a signal that this system lacks")
def test_a_worker_measures_and_is_stopped_between_turns() -> None:
    with turns.started({"ours": ("ours", {}), "nobody": ("nobody", {})}, 1, 1) as workers:
        ours = workers["ours"]
        for _ in range(2):
            assert 0 < ours.ask("linear M1 64-64", 1e-3) < 1
            if sys.platform == "linux":
                state = Path(f"/proc/{ours.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                assert state == "T"
        with pytest.raises(turns.Gone, match="nobody"):
            workers["nobody"].ask("linear M1 64-64", 1e-3)
    assert all(worker.process.returncode is not None for worker in workers.values())

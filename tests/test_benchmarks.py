"""What the benchmarks compare with computes the same thing, and the timing takes turns."""
from __future__ import annotations

import numpy as np

from pytorch_quantization_c.tensor_quant import fake_tensor_quant

from .benchmarks import load

harness, peers = load("harness"), load("peers")


def test_the_numpy_formula_gives_our_bits() -> None:
    x = np.random.default_rng(1).standard_normal((6, 50), np.float32)
    for amax in (np.float32(1.5), np.linspace(1, 3, 6, dtype=np.float32).reshape(-1, 1)):
        np.testing.assert_array_equal(peers.numpy_formula(x, np.asarray(amax))(), fake_tensor_quant(x, amax))


def test_candidates_take_turns() -> None:
    order: list[str] = []
    best = harness.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=0, rounds=3)
    assert best.keys() == {"a", "b"} and 0 < best["a"] < 1e-3
    changes = sum(1 for one, two in zip(order, order[1:], strict=False) if one != two)
    assert changes == 1 + 2 * 3 - 1 + 1  # a and b are sized, then three rounds of both


def test_table_shows_ratios_to_ours() -> None:
    table = harness.Table("Title", ["n"], "ours", ["NumPy", "absent"])
    table.add(["1,000"], {"ours": 2e-6, "NumPy": 9e-6})
    title, header, row, _ = str(table).split("\n")
    assert title == "Title" and header.split() == ["n", "ours", "NumPy", "/", "absent", "/"]
    assert row.split() == ["1,000", "2", "us", "4.50", "-"]


def test_durations() -> None:
    told = [harness.duration(seconds) for seconds in (2.5, 1.25e-2, 3e-6, 4e-8)]
    assert told == ["2.5 s", "12.5 ms", "3 us", "40 ns"]

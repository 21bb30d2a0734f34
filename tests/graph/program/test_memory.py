"""What calls keep: nothing after the first one of a shape, neither of Python's memory nor of the C library's."""
from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import numpy as np
import pytest

from pytorch_quantization_c import graph

from ...benchmarks import load
from ..networks import normal
from .zoo import ZOO

FIRST, CALLS = 2500, 50  # until free lists, of 2,000 tuples for one, are full; and calls that are looked at


class Statistics(ctypes.Structure):
    """What mallinfo2 of glibc answers."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]


def allocated() -> Callable[[], int] | None:
    """Bytes that are allocated now; None where the C library does not say."""
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    function.restype = Statistics
    return lambda: int(function().uordblks + function().hblkhd)


@pytest.mark.parametrize("name", ["lenet", "resnet", "mobilenet"])
def test_calls_keep_nothing(rng: np.random.Generator, name: str) -> None:
    model, shape = ZOO[name](rng)
    feeds = {"x": normal(rng, 2, *shape)}
    session = graph.compile(graph.quantize(model, [feeds["x"]], methods=()), num_threads=1)
    count = allocated()
    gc.collect()
    for _ in range(FIRST):
        session.run(None, feeds)
    blocks, before = sys.getallocatedblocks(), count() if count else 0
    for _ in range(CALLS):
        session.run(None, feeds)
    assert sys.getallocatedblocks() - blocks < CALLS / 2
    assert (count() if count else 0) - before < CALLS * 64  # less than an array a call


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_lite0"])
def test_real_networks(rng: np.random.Generator, name: str) -> None:
    """An arena is little larger than what lives at once, and another batch's plan brings no weights of its own."""
    networks = load("network_models")
    x = load("network_inputs").images((2, 3, 224, 224), rng)
    session = graph.compile(graph.quantize(graph.load(networks.SEEDED[name]()), [x[:1]], methods=()), num_threads=1)
    session.run(None, {"x": x[:1]})
    count = allocated()
    gc.collect()
    before = count() if count else 0
    session.run(None, {"x": x})
    gc.collect()
    plans = [plan for plans in session._program._plans for plan in plans.values()]
    grown = (count() if count else 0) - before
    assert len(plans) == 2 and all(plan.arena <= 1.3 * plan.live for plan in plans)
    assert grown < plans[1].arena + sum(row.weights for row in session.summary()) / 2

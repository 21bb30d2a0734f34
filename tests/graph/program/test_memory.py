"""What calls keep: nothing after the first one of a shape, neither of Python's memory nor of the C library's."""
from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import numpy as np
import pytest

from pytorch_quantization_c import graph

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

"""Hypothesis strategies for integer layers, and one function that runs a layer in every way this machine knows."""
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from hypothesis import strategies as st

from pytorch_quantization_c import isa, threads
from pytorch_quantization_c.integer import Geometry, Int

from .oracle import bounds

ISAS = [isa.available()[: i + 1] for i in range(len(isa.available()))]
WAYS = [*((names, 1 + i % 4) for i, names in enumerate(ISAS[:-1])), (ISAS[-1], 1), (ISAS[-1], 3)]


@contextmanager
def thread_count(n: int) -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(n)
    try:
        yield
    finally:
        threads.set_num_threads(before)


def on_every_isa(pack, run=lambda answer: answer, times=1):
    """`run(pack())` on every instruction set, with 1 to 4 threads in turn, on the best one with 1 and 3; all answers.

    A layer is packed each time: weights packed for a matrix unit are multiplied by it whatever is selected later. Small
    layers are shared out among sleeping workers only if there are many in a row: `times`.
    """
    answers = []
    for names, count in WAYS:
        with isa.only(*names), thread_count(count):
            layer = pack()
            answers += [run(layer) for _ in range(times)]
    return answers


INT8 = Int(8, narrow=True)
formats = st.builds(Int, st.integers(2, 8), st.booleans(), st.booleans())
kinds = st.sampled_from(["normal", "extreme", "alternating", "positive", "tiny", "zero"])
seeds = st.integers(0, 2**32 - 1)


def integers(rng, kind, shape, f):
    """Weights in the bounds of a format: int8, or uint8 if unsigned."""
    low, high = bounds(f)
    if kind == "normal":
        values = rng.integers(low, high + 1, shape)
    elif kind == "alternating":
        values = np.where(np.arange(np.prod(shape)).reshape(shape) % 2 == 0, low, high)
    elif kind == "tiny":
        values = rng.integers(max(low, -1), 2, shape)
    else:
        values = np.full(shape, {"extreme": low if low else high, "positive": high, "zero": 0}[kind])
    return values.astype(np.uint8 if f.unsigned else np.int8)


def floats(rng, kind, shape, amax, f):
    """Inputs whose quantised values reach the bounds, with ties among them."""
    if kind == "normal":
        x = rng.standard_normal(shape) * amax
    elif kind == "alternating":
        x = np.where(np.arange(np.prod(shape)).reshape(shape) % 2 == 0, -amax, amax) * 1.5
    elif kind == "tiny":
        x = (rng.integers(-5, 6, shape) + 0.5) * amax / bounds(f)[1]
    else:
        x = np.full(shape, {"extreme": -2 * amax, "positive": 2 * amax, "zero": 0.0}[kind])
    return (np.abs(x) if f.unsigned else x).astype(np.float32)


@st.composite
def geometries(draw, axes, transposed):
    def numbers(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))

    stride = numbers(1, 3)
    dilation = numbers(1, 3)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) if transposed else 0
                  for s, d in zip(stride, dilation, strict=True))
    before = numbers(0, 3)
    after = before if transposed else numbers(0, 3)
    return Geometry(transposed, draw(st.integers(1, 3)), stride, before, after, dilation, extra)

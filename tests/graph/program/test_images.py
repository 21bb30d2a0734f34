"""Arrays that become images and back: any number of channels, any size, one thread or several."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c import graph, threads

from ..networks import network, normal
from .test_bits import only_in_c


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9, 70])
def test_channels_and_sizes(rng: np.random.Generator, channels: int) -> None:
    """The convolution reads bytes with a border, the sum floats and, behind a quantiser, 16 bits of the same array."""
    w = {"w1": normal(rng, channels, channels, 3, 3) / 3, "w2": normal(rng, channels, channels, 1, 1)}
    body = "c = Conv <pads = [1, 1, 1, 1]> (x, w1)  s = Add (c, x)  y = Conv (s, w2)"
    shape = f"float[N,{channels},H,W]"
    model = network(body, f"{shape} x", f"{shape} y, {shape} s", **w)
    before = threads.get_num_threads()
    try:
        for residual in ("auto", "float"):
            int8 = graph.quantize(model, [normal(rng, 2, channels, 8, 8)], residual=residual, methods=())
            session = graph.compile(int8)
            for batch, height, width in ((1, 1, 1), (2, 1, 2), (3, 2, 3), (1, 9, 7), (2, 8, 8), (1, 5, 67), (1, 70, 3)):
                feeds = {"x": normal(rng, batch, channels, height, width)}
                expected = graph.interpret(int8, feeds)
                for count in (1, 3):
                    threads.set_num_threads(count)
                    found = only_in_c(session, feeds)
                    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
    finally:
        threads.set_num_threads(before)

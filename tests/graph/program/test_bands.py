"""Large images, which neighbouring steps take by bands of rows: the bits of the interpreter."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.program.bands import L2_WORKING_SET

from ..networks import network, normal
from .same_bits import assert_same_bits

HEIGHT, WIDTH, CHANNELS = 311, 290, 26  # an odd number of rows, and more bytes than the steps of a band may leave in L2
WIDEN = "c = Conv (x, w)  r = Relu (c)"
CASES = {
    "windows": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)  e = Relu (d)
                   p = MaxPool <kernel_shape = [3, 2], pads = [1, 0, 1, 1], strides = [2, 1]> (e)  y = Conv (p, n)""",
    "strides": f"{WIDEN}  d = Conv <group = {CHANNELS}, pads = [2, 1, 0, 1], strides = [2, 1]> (r, k)  y = Conv (d, n)",
    "dilated": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [3, 1, 3, 1], dilations = [3, 1]> (r, k)
                   y = Conv <strides = [3, 1]> (d, n)""",
    "residual": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)  s = Add (d, r)  e = Relu (s)
                    y = Conv (e, n)""",
    "read once more": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)  a = Conv (d, n)
                          b = Conv (r, n)  y = Mul (a, b)""",
    "slices": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)  e = Relu (d)
                  j = Concat <axis = 1> (e, r)  z = Conv (j, m)  y = Relu (z)""",
    "a border larger than its padding": f"""{WIDEN}  d = Conv <group = {CHANNELS}, auto_pad = "SAME_UPPER"> (r, k)
                                           y = Conv <auto_pad = "SAME_LOWER"> (d, n)""",
    "padding larger than its window": f"""{WIDEN}  d = Conv <group = {CHANNELS}, dilations = [60, 1]> (r, k)
                                         y = Conv <pads = [1, 0, 2, 0]> (d, n)""",
    "rows that strides skip": f"""{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)
                                 y = Conv <strides = [40, 1]> (d, n)  z = Conv (d, n)""",
    "an output": f"{WIDEN}  d = Conv <group = {CHANNELS}, pads = [1, 1, 1, 1]> (r, k)  z = Relu (d)  y = Conv (z, n)",
}
CHANNELS_OF_Z = {"rows that strides skip": 4, "an output": CHANNELS}


@pytest.mark.parametrize(("case", "residual"), [*((case, "auto") for case in CASES), ("residual", "u8")])
def test_bits(rng: np.random.Generator, case: str, residual: Any) -> None:
    assert HEIGHT * WIDTH * CHANNELS > L2_WORKING_SET
    weights = {"w": normal(rng, CHANNELS, 3, 1, 1), "k": normal(rng, CHANNELS, 1, 3, 3),
               "n": normal(rng, 4, CHANNELS, 1, 1), "m": normal(rng, 4, 2 * CHANNELS, 1, 1)}
    body = CASES[case]
    outputs = "float[N,4,P,Q] y" + (
        f", float[N,{CHANNELS_OF_Z[case]},R,S] z" if case in CHANNELS_OF_Z else "")
    used = {name: value for name, value in weights.items() if f", {name})" in body}
    x = normal(rng, 1, 3, HEIGHT, WIDTH)
    model = graph.quantize(network(body, "float[N,3,H,W] x", outputs, **used), [x], residual=residual, methods=())
    session = graph.compile(model)
    assert "Python" not in [row.kernel for row in session.summary()]
    for threads in (1, 2):  # the second call finds the arena as the first one left it
        session.num_threads = threads
        session.run(None, {"x": x})
    assert_same_bits(session, model, {"x": x}, counts=(2,))

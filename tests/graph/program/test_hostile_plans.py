"""Plans whose steps write over what they read, or over each other: refused, or wrong numbers within their buffers."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, graph

from ..networks import network, normal
from .test_float_mode import NETWORKS, made

TRIES = 150 * int(os.environ.get("PQC_TEST_SCALE", "1"))
BUFFER, OFFSET, LAYOUT = 3, 4, 22  # columns of images, and of steps
FLOATS = """a = Sigmoid (x)  r = Resize <mode = "nearest"> (a, , scales)  d = DepthToSpace <blocksize = 2> (r)
            p = AveragePool <kernel_shape = [2, 2]> (d)  m = GlobalAveragePool (p)  n = Mul (p, m)
            k = Concat <axis = 1> (n, p)  e, f = Split <axis = 1, num_outputs = 2> (k)
            t = Transpose <perm = [0, 2, 3, 1]> (e)  s = Softmax <axis = -1> (t)  u = Neg (f)
            v = Transpose <perm = [0, 1, 3, 2]> (u)  w = MatMul (u, v)"""


def plans_of(name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The tables that a session hands to C."""
    found: list[tuple[Any, ...]] = []
    real = _C.program_plan

    def program_plan(*tables: Any) -> Any:
        found.append(tables)
        return real(*tables)

    monkeypatch.setattr(_C, "program_plan", program_plan)
    if name == "floats":
        model, x = network(FLOATS, "float[2,8,6,6] x", "float[N,P,Q,R] s, float[N,S,T,U] w",
                           scales=np.array([1, 1, 2, 2], np.float32)), normal(rng, 2, 8, 6, 6)
    else:
        model, x = made(rng, name)
    graph.compile(model).run(None, {"x": x})
    monkeypatch.undo()
    assert found
    return found


def mutated(rng: np.random.Generator, tables: tuple[Any, ...]) -> tuple[Any, ...]:
    images, ranges, steps, *rest = (np.array(each) if isinstance(each, np.ndarray) else each for each in tables)
    for _ in range(rng.integers(1, 4)):
        one, other = rng.integers(0, len(images), 2)
        step, action = rng.integers(0, len(steps)), rng.integers(0, 6)
        if action < 2:     # on top of another one, or a little further
            images[one, [BUFFER, OFFSET]] = images[other, [BUFFER, OFFSET]]
            images[one, OFFSET] += 4 * rng.integers(0, 40) * action
        elif action == 2:  # the same shape and place
            images[one] = images[other]
            ranges[one] = ranges[other]
        elif action == 3:  # a step that reads or writes another one
            steps[step, rng.choice([1, 2, 4, 5, 6])] = one
        elif action == 4:
            at = LAYOUT + rng.integers(0, 18)
            steps[step, at] = max(0, steps[step, at] + rng.choice([-1, 1, 7, -steps[step, at]]))
        else:
            at = rng.integers(7, 15)
            steps[step, at] += rng.integers(-1, 2)
    return images, ranges, steps, *rest


def run(rng: np.random.Generator, tables: tuple[Any, ...]) -> None:
    plan, sizes = _C.program_plan(*tables), tables[4][1:]
    one = rng.standard_normal(int(sizes.max(initial=0)) // 4 + 1).astype(np.float32)
    apart = tuple(rng.standard_normal(int(size) // 4 + 1).astype(np.float32) for size in sizes)
    for arrays in (apart, (one,) * len(sizes)):
        _C.program_run(plan, arrays, None)


@pytest.mark.parametrize("name", [*NETWORKS, "floats"])
def test_steps_that_write_over_what_they_read(name: str, rng: np.random.Generator,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ran = 0
    for tables in plans_of(name, rng, monkeypatch):
        run(rng, tables)
        for _ in range(TRIES):
            try:
                run(rng, mutated(rng, tables))
                ran += 1
            except ValueError:
                refused += 1
    assert ran > TRIES // 10 and refused > 0

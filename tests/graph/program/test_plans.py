"""Plans: C refuses every table that would lead a step out of its buffers, and arenas are small."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, graph
from pytorch_quantization_c.graph.program.arena import Block, lay_out
from tests.faults.calls import program_tables

from ..networks import network, normal
from .zoo import ZOO

EXTREMES = [0, 1, -1, 2, 3, 7, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 40, 2 ** 62, -2 ** 62, 2 ** 63 - 1, -2 ** 63]
SIDE = 9


def weights() -> tuple[object]:
    taps, ones = np.ones((8, 3, 3, 4), np.int8), np.ones(8, np.float32)
    return _C.program_weights(taps, 1, False, False, 128, ones, ones),


def run(tables: tuple[Any, ...], packed: tuple[object]) -> Any:
    image = np.arange(4 * SIDE * SIDE, dtype=np.float32).reshape(1, 4, SIDE, SIDE) / 100
    output = np.empty((1, 8, SIDE, SIDE), np.float32)
    _C.program_run(_C.program_plan(*tables, packed), (image, output), None)
    return image, output


def test_the_tables_as_they_are() -> None:
    """Sums of 3 x 3 x 4 codes, as NumPy makes them."""
    image, found = run(program_tables(SIDE), weights())
    codes = np.pad(np.clip(np.rint(image * np.float32(20)), -127, 127), [(0, 0), (0, 0), (1, 1), (1, 1)])
    sums = sum(codes[:, :, y:y + SIDE, x:x + SIDE].sum(1) for y in range(3) for x in range(3))
    assert np.array_equal(found, np.repeat((sums + 1)[:, None], 8, 1).astype(np.float32))


@pytest.mark.parametrize("table", [0, 2, 4])
def test_every_number_at_its_extremes(table: int) -> None:
    """What is not refused runs, within its buffers: the sanitizers and the guards of the allocator would tell."""
    packed, refused, count = weights(), 0, 0
    for at in range(program_tables(SIDE)[table].size):
        for value in EXTREMES:
            tables = program_tables(SIDE)
            if table == 4 and value > tables[4].flat[at]:
                continue  # larger buffers than the arrays are refused by the call, larger arenas are only memory
            tables[table].flat[at] = value
            count += 1
            try:
                run(tables, packed)
            except ValueError:
                refused += 1
    assert 0.4 * count < refused <= count


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, 1e-44])
def test_ranges_that_no_code_has(number: float) -> None:
    packed = weights()
    for at in range(16):
        tables = program_tables(SIDE)
        tables[1].flat[at] = number
        try:
            run(tables, packed)
        except ValueError as error:
            assert "number" in str(error)


def test_arguments_of_another_kind() -> None:
    tables, packed = program_tables(SIDE), weights()
    with pytest.raises(TypeError, match="`weights`"):
        _C.program_plan(*tables, list(packed))
    with pytest.raises(ValueError, match="PyCapsule"):
        _C.program_plan(*tables, (tables[0],))
    with pytest.raises(TypeError, match="`images`"):
        _C.program_plan(tables[1], *tables[1:], packed)
    plan = _C.program_plan(*tables, packed)
    small, read_only = np.empty(3, np.float32), np.empty((1, 8, SIDE, SIDE), np.float32)
    image, read_only.flags.writeable = np.empty((1, 4, SIDE, SIDE), np.float32), False
    for arrays in ((image,), (image, small), (small, image), (image, read_only)):
        with pytest.raises(ValueError, match="Expected `?array"):
            _C.program_run(plan, arrays, None)


@pytest.mark.parametrize("name", [name for name in ZOO if name not in ("linear", "lenet")])
def test_an_arena_is_little_larger_than_what_lives_at_once(rng: np.random.Generator, name: str) -> None:
    model, shape = ZOO[name](rng)
    session = graph.compile(graph.quantize(model, [normal(rng, 1, *shape)], methods=()))
    session.run(None, {"x": normal(rng, 2, *shape)})
    plans = [plan for each in session._program._plans for plan in each.values()]
    assert plans and all(plan.arena <= 1.3 * plan.live for plan in plans)


def test_blocks_that_live_at_once_do_not_overlap(rng: np.random.Generator) -> None:
    for _ in range(50):
        firsts, sizes = rng.integers(0, 20, 30), rng.integers(1, 5000, 30)
        blocks = [Block(int(size), int(first), int(first + rng.integers(0, 6)))
                  for first, size in zip(firsts, sizes, strict=True)]
        total = lay_out(blocks)
        for number, a in enumerate(blocks):
            assert a.offset % 64 == 0 and a.offset + a.size <= total
            for b in blocks[:number]:
                apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
                assert apart or a.last < b.first or b.last < a.first


def test_plans_of_a_program_share_memory(rng: np.random.Generator) -> None:
    """Fifty lengths, whose plans are all kept, need the arena of the longest alone."""
    model = network("a = MatMul (x, w1)  r = Relu (a)  s = Softmax (r)  y = MatMul (s, w2)", "float[N,40] x",
                    "float[N,5] y", w1=normal(rng, 40, 300), w2=normal(rng, 300, 5))
    session = graph.compile(graph.quantize(model, [normal(rng, 30, 40)], methods=()))
    feeds = [{"x": normal(rng, count, 40)} for count in range(1, 51)]
    expected = [graph.interpret(session.model, each)[0].tobytes() for each in feeds]
    for _ in range(2):
        assert [session.run(None, each)[0].tobytes() for each in feeds] == expected
    plans = [plan for each in session._program._plans for plan in each.values()]
    assert len(plans) == 50 and len({plan.arena for plan in plans}) > 10


def test_plans_that_share_memory_outlive_each_other(rng: np.random.Generator) -> None:
    packed = weights()
    small, large = program_tables(SIDE), program_tables(2 * SIDE)
    first = _C.program_plan(*large, packed)
    second = _C.program_plan(*small, packed, first)
    image, wanted = run(small, packed)
    del first
    found = np.empty_like(wanted)
    for _ in range(3):
        _C.program_run(second, (image, found), None)
        assert np.array_equal(found, wanted)
    with pytest.raises(ValueError, match="PyCapsule"):
        _C.program_plan(*small, packed, packed[0])

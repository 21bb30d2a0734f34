"""Cells over sequences against formulas in float64, with states as floats and as exact integers."""
from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, isa, threads
from pytorch_quantization_c._core.formats import Int
from pytorch_quantization_c.integer.packed import Geometry, PackedWeights

GATES = {"LSTM": 4, "GRU": 3, "GRU_RESET_FIRST": 3, "LSTM_PROJECTED": 4}
AMAX = np.float32(0.9)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def integers(h: Any) -> Any:
    """States as the integers of 8 bits, narrow."""
    return np.clip(np.rint(h.astype(np.float32) * (np.float32(127) / AMAX)), -127, 127).astype(np.int64)


def times(h: Any, product: Any) -> Any:
    weight, scale, bias = product
    if scale is None:
        return h @ weight.T.astype(np.float64) + bias
    return (integers(h) @ weight.T.astype(np.int64)) / (scale.astype(np.float64) * np.float64(127 / AMAX)) + bias


def cell(kind: str, x: Any, h: Any, c: Any, products: list[Any]) -> tuple[Any, Any]:
    n, u = h.shape[-1], times(h, products[0])
    if kind.startswith("LSTM"):
        i, f, g, o = np.split(x + u, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h if kind == "LSTM" else times(h, products[1]), c
    r, z = sigmoid(x[:, :n] + u[:, :n]), sigmoid(x[:, n:2 * n] + u[:, n:2 * n])
    inner = r * u[:, 2 * n:] if kind == "GRU" else times(r * h, products[1])
    return (1 - z) * np.tanh(x[:, 2 * n:] + inner) + z * h, c


def case(rng: np.random.Generator, kind: str, n: int, directions: int, batch: int, sizes: Any, exact: bool) -> Any:
    """Arguments of `_C.recurrent`, and the products as the oracle takes them."""
    rows, gates, each = int(sum(sizes)), GATES[kind], 2 if kind in ("GRU_RESET_FIRST", "LSTM_PROJECTED") else 1
    ahead = rng.normal(size=(rows, directions * gates * n)).astype(np.float32)
    state = max(n // 3, 1) if kind == "LSTM_PROJECTED" else n
    h, c = (rng.normal(size=(directions, batch, size)).astype(np.float32) * np.float32(0.4) for size in (state, n))
    given: list[Any] = []
    plain: list[Any] = []
    for number in range(directions * each):
        out, size = gates * n if each == 1 else (2 * n, n)[number % 2], n
        if kind == "LSTM_PROJECTED":
            out, size = ((4 * n, state), (state, n))[number % 2]
        bias = rng.normal(size=out).astype(np.float32) if number % 3 != 1 else None
        if exact:
            weight, scale = rng.integers(-127, 128, (out, size)).astype(np.int8), rng.uniform(200, 900, out).astype("f")
            packed = PackedWeights(weight, scale, Geometry(), Int(8, narrow=True))
            given.append((packed._packed, AMAX, bias))
        else:
            weight, scale = (rng.normal(size=(out, size)) / np.sqrt(size)).astype(np.float32), None
            given.append((_C.float_panels(weight), None, bias))
        plain.append((weight, scale, np.zeros(out) if bias is None else bias.astype(np.float64)))
    return (kind, ahead, tuple(given), h, c if kind.startswith("LSTM") else None), plain


def wanted(arguments: Any, plain: list[Any], sizes: Any, reverse: bool, found: Any) -> Any:
    """Each step from the state that was found before it: at a tie another one would go to the other integer."""
    kind, ahead, _, h, c = arguments
    directions, _, state = h.shape
    n = state if c is None else c.shape[2]
    each, gates, starts = len(plain) // directions, GATES[kind], np.cumsum([0, *sizes])
    h, c = h.astype(np.float64), (h if c is None else c).astype(np.float64)
    y = np.zeros((len(ahead), directions, state))
    for d in range(directions):
        for t in reversed(range(len(sizes))) if reverse or d else range(len(sizes)):
            now, at = slice(starts[t], starts[t + 1]), slice(sizes[t])
            x = ahead[now, d * gates * n:(d + 1) * gates * n].astype(np.float64)
            h[d, at], c[d, at] = cell(kind, x, h[d, at], c[d, at], plain[d * each:(d + 1) * each])
            y[now, d] = h[d, at]
            h[d, at] = found.reshape(y.shape)[now, d]
    return y, c


@pytest.mark.parametrize("exact", [False, True], ids=["floats", "integers"])
@pytest.mark.parametrize("kind", sorted(GATES))
def test_against_the_formulas(rng: np.random.Generator, kind: str, exact: bool) -> None:
    for n, directions, sizes, reverse in ((1, 1, [1], False), (5, 2, [3, 3], False), (17, 1, [4, 2, 2, 1], True),
                                          (33, 2, [2, 1, 1], False), (70, 1, [1] * 5, False)):
        arguments, plain = case(rng, kind, n, directions, sizes[0], sizes, exact)
        y, h, *c = _C.recurrent(*arguments, np.array(sizes), reverse, False)
        found, cells = wanted(arguments, plain, sizes, reverse, y)
        options: dict[str, Any] = dict(atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(y, found.reshape(y.shape), **options)
        ends = np.array([[sizes[-1] and [t for t in range(len(sizes)) if sizes[t] > i][0 if reverse or d else -1]
                          for i in range(sizes[0])] for d in range(directions)])
        starts = np.cumsum([0, *sizes])
        last = [[y.reshape(found.shape)[starts[ends[d, i]] + i, d] for i in range(sizes[0])] for d in range(directions)]
        assert np.array_equal(h, last)
        if c:
            np.testing.assert_allclose(c[0], cells, **options)
        if len(set(sizes)) == 1:
            by_direction, final, *_ = _C.recurrent(*arguments, None, reverse, True)
            assert np.array_equal(by_direction.swapaxes(1, 2).reshape(y.shape), y) and np.array_equal(final, h)


@pytest.mark.parametrize("exact", [False, True], ids=["floats", "integers"])
def test_every_instruction_set_number_of_threads_and_batch(rng: np.random.Generator, exact: bool) -> None:
    before, found = threads.get_num_threads(), {kind: set[bytes]() for kind in GATES}
    cases = {kind: case(rng, kind, 77, 2, 18, [18] * 3, exact)[0] for kind in GATES}
    try:
        for each in isa.available():
            with isa.only("scalar", each):
                for count in (1, 2):
                    threads.set_num_threads(count)
                    for kind, (_, ahead, products, h, c) in cases.items():
                        y, *_ = _C.recurrent(kind, ahead, products, h, c, None, False, True)
                        found[kind].add(y.tobytes())
                        one = (np.ascontiguousarray(part[:, 4:5]) if part is not None else None for part in (h, c))
                        alone, *_ = _C.recurrent(kind, ahead[4::18].copy(), products, *one, None, False, True)
                        assert np.array_equal(alone[:, :, 0], y[:, :, 4])
    finally:
        threads.set_num_threads(before)
    assert all(len(each) == 1 for each in found.values())


def test_arguments_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    (kind, ahead, products, h, c), _ = case(rng, "LSTM", 4, 1, 2, [2, 2], True)
    good: list[Any] = [kind, ahead, products, h, c, None, False, False]
    (weights, amax, bias), = products
    for number, bad, message in (
            (0, "RNN", "`cell`"), (0, "GRU", "products"), (1, ahead[:3], "whole number"),
            (1, ahead[:, :8].copy(), "`ahead`"), (2, (), "tuple of 1"), (2, (weights,), r"\(weights, amax, bias\)"),
            (2, ((_C.float_panels(np.ones((3, 3), np.float32)), None, None),), "other sizes"),
            (2, ((weights, amax, np.ones(3, np.float32)),), "other sizes"), (3, h[:, :0], "batch"), (3, h[0], "`h`"),
            (4, None, "states"), (4, c[..., :2].copy(), "states"), (5, np.array([1, 2, 1]), "grow"),
            (5, np.array([2, 1]), "add up"), (5, np.array([2, 2, 0]), "grow")):
        with pytest.raises((ValueError, TypeError), match=message):
            _C.recurrent(*good[:number], bad, *good[number + 1:])
    assert "amax" in _C.recurrent(*good[:2], ((weights, -1.0, bias),), *good[3:])
    assert "NaN" in _C.recurrent(*good[:3], np.full_like(h, np.nan), *good[4:])
    with pytest.raises(ValueError, match="sides"):
        _C.float_panels(np.ones((0, 3), np.float32))


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # of NumPy 2.5; it still can be done
def test_arguments_that_change_others_do_no_harm() -> None:
    """A flag whose truth takes the axes of `ahead` away; states whose copies would rewrite `sizes`."""
    panels = (_C.float_panels(np.zeros((12, 4), np.float32)), None, None)
    ahead, sizes = np.ones((8, 12), np.float32), np.array([4, 2, 2])
    wanted = _C.recurrent("GRU", ahead, (panels,), np.zeros((1, 4, 4), np.float32), None, sizes, False, False)

    class Flag:
        def __bool__(self) -> bool:
            gone.shape = ()
            return False

    gone = np.zeros((1, 1), np.float32)
    one = (_C.float_panels(np.zeros((3, 1), np.float32)), None, None)
    with pytest.raises(ValueError, match="fit together"):
        _C.recurrent("GRU", gone, (one,), np.zeros((1, 1, 1), np.float32), None, None, Flag(), False)

    class Rewriting(np.ndarray):
        armed = False

        def __array_finalize__(self, source: object) -> None:
            if Rewriting.armed:
                sizes[:] = 4, 4, 1 << 22

    states = np.zeros((1, 4, 4), np.float32).view(Rewriting)
    Rewriting.armed = True
    found = _C.recurrent("GRU", ahead, (panels,), states, None, sizes, False, False)
    assert all(type(each) is np.ndarray for each in found)
    assert [each.tobytes() for each in found] == [each.tobytes() for each in wanted]


def test_sizes_that_another_thread_rewrites_do_no_harm() -> None:
    panels = (_C.float_panels(np.zeros((12, 4), np.float32)), None, None)
    ahead, states = np.zeros((40_000, 12), np.float32), np.zeros((1, 4, 4), np.float32)
    sizes, done = np.full(10_000, 4), threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            sizes[-1] = 1 << 24
            sizes[-1] = 4

    other = threading.Thread(target=rewrite)
    other.start()
    try:
        for _ in range(20):
            with contextlib.suppress(ValueError):
                y = _C.recurrent("GRU", ahead, (panels,), states, None, sizes, False, False)[0]
                assert y.shape == (40_000, 4)
    finally:
        done.set()
        other.join()

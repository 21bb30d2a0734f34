"""Layers whose arrays are changed behind their backs, and layers that several threads or processes share."""
from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.optim.helper import quant_weight_inplace

X = np.linspace(-1, 1, 2 * 6, dtype=np.float32).reshape(2, 6)
ONES = np.ones((3, 6), np.float32)


def layer(**options: Any) -> Any:
    made = nn.QuantLinear(6, 3, bias=False, **options)
    made.weight[...] = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6)
    return made


def fake(x: Any, axis: int | None = None) -> Any:
    """8 bits in float64, by the formula."""
    x = np.asarray(x, np.float64)
    amax = abs(x).max() if axis is None else abs(x).max(1, keepdims=True)
    return np.rint(x * 127 / amax) * amax / 127


def expect(output: Any, weight: Any) -> None:
    np.testing.assert_allclose(output, fake(X) @ fake(weight, 0).T, rtol=1e-5, atol=1e-6)


EDITS: dict[str, Callable[[Any], Any]] = {
    "an element": lambda w: w.__setitem__((0, 0), 3),
    "a view": lambda w: w.T.__setitem__(..., ONES.T),
    "a reshaped view": lambda w: w.reshape(-1).__setitem__(slice(5), 2),
    "an iterator": lambda w: w.flat.__setitem__(7, 9),
    "copyto": lambda w: np.copyto(w, ONES),
    "out=": lambda w: np.multiply(w, -2, out=w),
    "+=": lambda w: w.__iadd__(ONES),
    "a memoryview": lambda w: memoryview(w).cast("B").__setitem__(slice(0, 4), np.float32(7).tobytes()),
    "sort": lambda w: w.sort(),
    "rows that change places": lambda w: w.__setitem__(..., w[::-1].copy()),
    "the last bit": lambda w: w.flat.__setitem__(0, np.float32(-1) - np.float32(2) ** -24),
    "put": lambda w: np.put(w, [3], [8]),
    "fill": lambda w: w.fill(0.5),
    "the base": lambda w: w.base.__setitem__(..., ONES) if w.base is not None else w.fill(1),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_weight_that_is_changed_in_place_is_noticed(edit: Callable[[Any], Any]) -> None:
    made = layer()
    expect(made(X), made.weight)
    edit(made.weight)
    expect(made(X), made.weight)
    assert made.execution == "int8"


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("copied", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
                         ids=["itself", "deepcopy", "pickle"])
def test_a_frozen_weight_cannot_be_changed_in_place(edit: Callable[[Any], Any], copied: Callable[[Any], Any]) -> None:
    made = copied(pq.freeze(layer()))
    before, output = np.array(made.weight), made(X)
    try:
        edit(made.weight)
    except (ValueError, TypeError, BufferError) as error:
        assert "read" in str(error) or "writ" in str(error)
    assert np.array_equal(made.weight, before)
    np.testing.assert_array_equal(made(X), output)


def test_no_view_of_a_frozen_weight_can_be_made_writeable() -> None:
    made = pq.freeze(layer())
    for view in (made.weight.view(np.ndarray), made.weight[:], made.weight.T):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)


def test_loading_into_a_frozen_layer() -> None:
    made = float_nn.Sequential(layer())
    pq.freeze(made)
    state = {"0.weight": ONES}
    with pytest.raises(RuntimeError, match='"0.weight" is the read-only weight of a frozen layer: load before'):
        made.load_state_dict(state)
    made.load_state_dict(made.state_dict())  # what it has
    made.load_state_dict({"0.weight": np.array(made[0].weight)})
    assert made[0]._engine.frozen is not None and not made[0].weight.flags.writeable
    with pytest.raises(RuntimeError, match="size mismatch"):
        made.load_state_dict({"0.weight": np.ones((3, 5), np.float32)})
    made.load_state_dict(state, assign=True)
    expect(made(X), ONES)


def test_the_bias_of_a_frozen_layer_can_be_loaded() -> None:
    made = nn.QuantLinear(6, 3)
    before = pq.freeze(made)(X)
    made.load_state_dict({"weight": np.array(made.weight), "bias": made.bias + np.float32(1)})
    np.testing.assert_allclose(made(X), before + 1, rtol=1e-5, atol=1e-6)  # the one may cancel
    assert not made.bias.flags.writeable


def test_quantising_frozen_weights_in_place_leaves_them(caplog: pytest.LogCaptureFixture) -> None:
    made = pq.freeze(layer())
    before = made(X)
    quant_weight_inplace(made)
    np.testing.assert_array_equal(made(X), before)
    assert "is frozen" in caplog.text


# --------------------------------------------------------------------------------------------- threads and processes
def networks() -> tuple[Any, Any]:
    net = float_nn.Sequential(nn.QuantConv2d(3, 8, 3, padding=1), nn.QuantConv2d(8, 8, 3, groups=8), float_nn.Flatten(),
                              nn.QuantLinear(8 * 8 * 8, 5)).eval()
    return net, pq.freeze(copy.deepcopy(net), keep_float=False)


IMAGES = np.random.default_rng(0).standard_normal((8, 2, 3, 10, 10)).astype(np.float32)


def test_many_threads_run_the_same_layers() -> None:
    """Each with inputs of its own, whose results one thread alone has found before; weights change in between."""
    for net in networks():
        expected = [net(images) for images in IMAGES]
        wrong: list[str] = []
        gate = threading.Barrier(len(IMAGES))

        def work(number: int, net: Any = net, expected: Any = expected, wrong: Any = wrong, gate: Any = gate) -> None:
            gate.wait()
            for _ in range(20):
                try:
                    if not np.array_equal(net(IMAGES[number]), expected[number]):
                        wrong.append("another result")
                except Exception as error:
                    wrong.append(repr(error))

        run_threads(work, len(IMAGES))
        assert not wrong


def test_a_frozen_layer_is_given_another_weight_while_threads_run() -> None:
    wrong: list[str] = []
    for _ in range(30):
        made = pq.freeze(layer())
        gate = threading.Barrier(5)

        def work(number: int, made: Any = made, gate: Any = gate) -> None:
            gate.wait()
            try:
                if number == 0:
                    made.weight = float_nn.Parameter(ONES.copy())
                else:
                    made(X)
            except Exception as error:
                wrong.append(repr(error))

        run_threads(work, 5)
        expect(made(X), ONES)
    assert not wrong


def run_threads(work: Callable[[int], None], count: int) -> None:
    workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
    finally:
        sys.setswitchinterval(interval)
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "while another thread computes"])
def test_children_of_a_process_that_has_computed(busy: bool) -> None:
    """Fork after use, again and again, also in the middle of a call in another thread: the children get the answer."""
    net, frozen = networks()
    expected = net(IMAGES[0])
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            frozen(IMAGES[1])

    other = threading.Thread(target=compute)
    if busy:
        other.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if all(np.array_equal(each(IMAGES[0]), expected) for each in (net, frozen)) else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        if busy:
            other.join()
    np.testing.assert_array_equal(net(IMAGES[0]), expected)

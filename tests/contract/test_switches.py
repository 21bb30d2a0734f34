"""What belongs to the whole process is as it was once every block has ended, in whatever order threads end them."""
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import pytest

from pytorch_quantization_c import float_nn, integer, isa, nn, quant_modules

from ..patience import within

SWITCHES: dict[str, tuple[Callable[[int], AbstractContextManager[Any]], Callable[[], Any]]] = {
    "isa.only": (lambda i: isa.only(isa.available()[i % len(isa.available())]), isa.selected),
    "float_only": (lambda i: integer.float_only(i % 2 == 0), lambda: integer.enabled()),
    "quantized": (lambda i: quant_modules.quantized(["Linear", "Conv2d", "LSTM"][:i]),
                  lambda: (float_nn.Linear, float_nn.Conv2d, float_nn.LSTM, float_nn.AvgPool2d)),
    "enable_onnx_export": (lambda i: quant_modules.enable_onnx_export(),
                           lambda: nn.TensorQuantizer._enable_onnx_export),
}


class Block(threading.Thread):
    """A block that a thread of its own makes, enters and leaves when it is told to."""

    def __init__(self, make: Callable[[int], Any], number: int) -> None:
        super().__init__(daemon=True)
        self.make, self.number = make, number
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        self.go.acquire()
        block = self.make(self.number)
        self.done.release()
        self.go.acquire()
        with block:
            self.done.release()
            self.go.acquire()
        self.done.release()

    def step(self) -> None:
        self.go.release()
        assert within(30, lambda timeout: self.done.acquire(timeout=timeout))


@pytest.mark.parametrize("name", SWITCHES)
def test_blocks_of_threads_end_in_any_order(name: str) -> None:
    make, state = SWITCHES[name]
    before = state()
    for order in sorted(set(itertools.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2])))[::40]:
        blocks = [Block(make, number) for number in range(3)]
        for number in order:  # made, entered, left: each in its turn
            blocks[number].step()
        assert state() == before, order
        for each in blocks:
            each.join(30)


@pytest.mark.parametrize("name", SWITCHES)
def test_blocks_of_one_thread_nest(name: str) -> None:
    make, state = SWITCHES[name]
    before = state()
    with make(0):
        outer = state()
        with make(1):
            pass
        assert state() == outer
    assert state() == before
    with pytest.raises(ZeroDivisionError), make(1):
        raise ZeroDivisionError
    assert state() == before


def test_a_choice_for_good_in_a_block_ends_with_it() -> None:
    before = isa.selected()
    with isa.only("scalar"):
        isa.only(*isa.available())
        assert isa.selected() == isa.available()
    assert isa.selected() == before


def test_a_choice_for_good_stays() -> None:
    integer.float_only()
    with integer.float_only(False):
        assert integer.enabled()
    assert not integer.enabled()
    for _ in range(100):
        integer.float_only(False)
    assert integer.enabled() and len(import_module("pytorch_quantization_c.integer.float_only")._switch._entries) < 3

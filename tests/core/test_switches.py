"""Process-wide values that blocks ask for: which is in force when blocks end, or are interrupted on their way in."""
from __future__ import annotations

import gc

import pytest

from pytorch_quantization_c._core.switches import Block, Switch


def test_an_open_block_that_is_gone_asks_for_nothing() -> None:
    """An exception between `__enter__` and the block's first line: nobody will leave it."""
    put: list[int] = []
    switch = Switch(put.append, 0)
    interrupted, permanent, whole = Block(), Block(), Block()
    switch.enter(interrupted, 1)
    del interrupted
    gc.collect()
    switch.enter(whole, 2)
    switch.leave(whole)
    assert put == [1, 2, 0]
    assert not switch.is_asked
    switch.ask(permanent, 3)
    del permanent
    gc.collect()
    switch.enter(whole, 2)
    switch.leave(whole)
    assert put[-1] == 3


def test_a_value_that_cannot_be_put_in_force_is_forgotten() -> None:
    put: list[int] = []

    def refuse(value: int) -> None:
        if value == 1:
            raise MemoryError
        put.append(value)

    switch, block = Switch(refuse, 0), Block()
    with pytest.raises(MemoryError):
        switch.enter(block, 1)
    switch.enter(block, 2)
    switch.leave(block)
    assert put == [2, 0]


def test_a_block_that_was_never_open_has_nothing_to_withdraw() -> None:
    put: list[int] = []
    switch, block = Switch(put.append, 0), Block()
    switch.ask(block, 1)
    switch.leave(Block())
    assert put == [1]
    assert switch.is_asked

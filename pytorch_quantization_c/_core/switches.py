"""Process-wide values that `with` blocks change, in any thread; after the last block the initial value is restored."""
from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Block", "Switch"]

T = TypeVar("T")


class Block:
    """Stands for a `with` block that has no object of its own."""


class _Entry(Generic[T]):
    """A requested value: by a block, open or not yet entered, or permanent if the block is gone."""

    def __init__(self, block: Any, value: T, is_open: bool = False) -> None:
        self.block, self.value = weakref.ref(block), value
        self.thread, self.is_open = threading.get_ident(), is_open


class Switch(Generic[T]):
    """The newest value asked for is in force.

    Blocks of several threads overlap in any order, so none may restore what it found: another block may have set
    that. Instead each one withdraws its own request, and the newest of the others holds.

    Args:
        put: puts a value in force. If it raises, nothing has changed.
        initial: the value in force.
    """

    def __init__(self, put: Callable[[T], object], initial: T) -> None:
        self._put, self._initial = put, initial
        self._turn = threading.RLock()
        self._entries: list[_Entry[T]] = []

    def ask(self, block: object, value: T) -> None:
        """Puts a value in force: permanently, or until `leave` if the block is entered."""
        with self._turn:
            self._add(_Entry(block, value))

    def enter(self, block: object, value: T) -> None:
        """Opens a block that has asked for a value. One that ended, or was withdrawn with another, asks again."""
        with self._turn:
            waiting = [entry for entry in self._entries if entry.block() is block and not entry.is_open]
            if waiting:
                waiting[-1].is_open = True
            else:
                self._add(_Entry(block, value, is_open=True))

    def leave(self, block: object) -> None:
        """Withdraws what a block has asked for, and permanent requests made inside it by this thread.

        Nothing, if the block was interrupted before it was open.
        """
        with self._turn:
            at = max((number for number, entry in enumerate(self._entries) if entry.block() is block and entry.is_open),
                     default=None)
            if at is None:
                return
            mine = threading.get_ident()
            inside = [entry for entry in self._entries[at + 1:] if entry.is_open or entry.thread != mine]
            self._initial, self._entries = self._merged([*self._entries[:at], *inside])
            self._put(self._entries[-1].value if self._entries else self._initial)

    @property
    def is_asked(self) -> bool:
        """Whether a request holds, so that the value in force may differ from the initial one."""
        return bool(self._entries)

    def _add(self, entry: _Entry[T]) -> None:
        """Puts the value of a new request in force. Whatever raises, nothing has changed."""
        before = self._initial, self._entries
        try:
            self._initial, self._entries = self._merged([*self._entries, entry])
            self._put(entry.value)
        except BaseException:
            self._initial, self._entries = before
            raise

    def _merged(self, entries: list[_Entry[T]]) -> tuple[T, list[_Entry[T]]]:
        """The initial value and the requests: of consecutive permanent ones only the last counts.

        An open block that is gone will not end: it was interrupted on its way in, and no longer asks for anything.
        """
        kept: list[_Entry[T]] = []
        for entry in entries:
            if entry.is_open and entry.block() is None:
                continue
            if kept and kept[-1].block() is None and entry.block() is None:
                kept.pop()
            kept.append(entry)
        initial = self._initial
        if kept and kept[0].block() is None:
            initial = kept.pop(0).value
        return initial, kept

"""Limits of time and of memory that a machine at work, or stopped for a while, does not break."""
from __future__ import annotations

import contextlib
import gc
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

SLICE = 1.0     # seconds; of a longer gap between two of these, this process was stopped


class Patience:
    """So many seconds in which this process was not stopped. `spent` is asked at least once a SLICE."""

    def __init__(self, seconds: float) -> None:
        self.left, self.at = seconds, time.monotonic()

    def spent(self) -> bool:
        now = time.monotonic()
        self.left -= min(now - self.at, 2 * SLICE)
        self.at = now
        return self.left <= 0


def within(seconds: float, done: Callable[[float], Any]) -> bool:
    """Whether done(timeout) comes true in so many seconds of patience."""
    patience = Patience(seconds)
    while not done(SLICE):
        if patience.spent():
            return False
    return True


class TooLong(BaseException):
    """The call did not come back."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TooLong in the main thread after so many seconds of patience or of the processor's time.

    Of signals that are asked for each SLICE, a process that was stopped, or is in C for longer, gets but one.
    """
    patience, computed = Patience(seconds), time.process_time()

    def ask(*unused: Any) -> None:
        if patience.spent() or time.process_time() - computed > seconds:
            raise TooLong

    before = signal.signal(signal.SIGALRM, ask)
    signal.setitimer(signal.ITIMER_REAL, SLICE, SLICE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def least_held(call: Callable[[], Any], enough: float, tries: int = 5, settle: Callable[[], Any] | None = None) -> int:
    """The bytes that `call` leaves behind, in its result or elsewhere, as tracemalloc counts them, after `settle()`.

    What other threads and first imports take is not taken each time: of some tries the least, until it is at most
    `enough`.
    """
    least = sys.maxsize
    for _ in range(tries):
        gc.collect()
        tracemalloc.start()
        try:
            if settle:
                settle()
            before = tracemalloc.get_traced_memory()[0]
            result = call()
            gc.collect()    # empties the interpreter's lists of objects for the next use, too
            least = min(least, tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        del result
        if least <= enough:
            break
    return least

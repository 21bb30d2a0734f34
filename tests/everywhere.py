"""A call on each instruction set of this machine, with several numbers of threads, in foreign floating-point modes."""
from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pytorch_quantization_c import isa, threads

__all__ = ["MODES", "assert_same_in_every_mode", "everywhere", "float_mode"]

T = TypeVar("T")
COUNTS = (1, 2, 3, 4)

libm = ctypes.CDLL(None)
ARM = platform.machine() == "aarch64"
CONTROL = 0 if ARM else 7  # the word of fenv_t that holds FPCR or MXCSR
MODES = ({"flush": 1 << 24, "up": 1 << 22, "down": 2 << 22, "to zero": 3 << 22} if ARM else
         {"FTZ": 1 << 15, "DAZ": 1 << 6, "both": 1 << 15 | 1 << 6, "down": 1 << 13, "up": 2 << 13, "to zero": 3 << 13})


@contextmanager
def _thread_count_kept() -> Iterator[None]:
    before = threads.get_num_threads()
    try:
        yield
    finally:
        threads.set_num_threads(before)


def everywhere(call: Callable[[], T], counts: Sequence[int] = COUNTS) -> dict[tuple[str, int], T]:
    """What a call answers on each instruction set, beside scalar code alone, with each number of threads."""
    found = {}
    with _thread_count_kept():
        for name in isa.available():
            for count in counts:
                threads.set_num_threads(count)
                with isa.only("scalar", name):
                    found[name, count] = call()
    return found


@contextmanager
def float_mode(bits: int) -> Iterator[Callable[[], int]]:
    """Control bits of the calling thread, set as well; what is given reads all of them."""
    before, changed, now = ((ctypes.c_uint32 * 16)() for _ in range(3))
    libm.fegetenv(before)
    libm.fegetenv(changed)
    changed[CONTROL] |= bits

    def current() -> int:
        libm.fegetenv(now)
        return int(now[CONTROL]) & ~0x3F

    libm.fesetenv(changed)
    try:
        yield current
    finally:
        libm.fesetenv(before)


def assert_same_in_every_mode(bits: Callable[[], list[bytes]], counts: Sequence[int], repeats: int = 1) -> None:
    """The bits of the default mode in each other one, which is the caller's afterwards; up to each instruction set."""
    expected, levels = bits(), range(1, len(isa.available()) + 1)
    with _thread_count_kept():
        for count in counts:
            threads.set_num_threads(count)
            for level in levels:
                with isa.only(*isa.available()[:level]):
                    for mode, flags in MODES.items():
                        with float_mode(flags) as current:
                            set_to = current()
                            found, kept = [bits() for _ in range(repeats)], current() == set_to
                        assert kept and found == [expected] * repeats, (count, level, mode)

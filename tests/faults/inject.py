"""Run as a program: fails each allocation of each call in turn, and prints what was not as it should be.

`allocators` fails those of Python (small objects and raw memory), one by one and from one on; `arrays` fails those of
NumPy, whose memory is the C library's, by a limit of the address space.
"""
from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.faults.calls import Call, every_call
from tests.patience import least_held

SMALL, LARGE = 12, 700
ENOUGH = 25  # calls in a row that work: the failing allocation comes after the last one
PAGES = 1 << 19  # the same where whole arrays are refused (NumPy tells tracemalloc of those as if they were there)
SLACK = 600  # bytes that a call may seem to keep: NumPy's and Python's lists of objects for the next use

# The first argument that is written into.
WRITES = {"fake_quant": 5, "float_quant": 4, "e4m3": 2, "histogram": 2, "program_run": 1}


def held(call: Call) -> list[tuple[Any, ...]]:
    """What a call may not change: contents and references of its arrays."""
    return [(sys.getrefcount(each), each.tobytes()) for each in call.arguments if isinstance(each, np.ndarray)]


def kept_by(call: Call) -> Call:
    """The call with those arguments alone that it may not change."""
    return Call(call.function, call.arguments[:WRITES.get(call.function.__name__, 99)])


def right(result: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return len(result) == len(expected) and all(map(right, result, expected))
    if isinstance(expected, np.ndarray):
        return bool(result.dtype == expected.dtype and np.array_equal(result, expected))
    return type(result) is type(expected) and (type(result).__name__ == "PyCapsule" or bool(result == expected))


def sweep(call: Call, expected: Any, until: int, problems: set[str]) -> int:
    """Fails allocation 0, 1, ... (each alone, or `until` that many later); returns how many of them mattered."""
    from _testcapi import remove_mem_hooks, set_nomemory

    function, arguments = call
    refused = works = at = 0
    while works < ENOUGH:
        result, error = None, None
        set_nomemory(at, at + until)
        try:
            result = function(*arguments)
        except BaseException as caught:
            error = caught
        finally:
            remove_mem_hooks()
        if error is None:
            works += 1
            if not right(result, expected):
                problems.add(f"{call}: allocation {at} fails, and the result is another one")
        else:
            refused, works = refused + 1, 0
            if not isinstance(error, MemoryError):  # NumPy has a class of its own
                problems.add(f"{call}: allocation {at} fails with {error!r}")
        at += 1
    return refused


def check(call: Call, expected: Any, problems: set[str]) -> int:
    changes = WRITES.get(call.function.__name__, 99)
    call = Call(call.function, tuple(each.copy() if at == changes and isinstance(each, np.ndarray) else each
                                     for at, each in enumerate(call.arguments)))
    before = held(kept_by(call))
    sweep(call, expected, 1, problems)
    refused = 0

    def sweeps() -> None:
        nonlocal refused
        refused = sweep(call, expected, 1, problems) + sweep(call, expected, 1_000_000, problems)

    kept = least_held(sweeps, SLACK, tries=3)
    if kept > SLACK:
        problems.add(f"{call}: {kept} bytes are kept after {refused} failures")
    if held(kept_by(call)) != before:
        problems.add(f"{call}: an argument or its references have changed")
    return refused


def allocators() -> set[str]:
    problems: set[str] = set()
    for call, fresh in zip(every_call(SMALL), every_call(SMALL), strict=True):
        expected = fresh.function(*fresh.arguments)
        refused = check(call, expected, problems)
        print(f"{refused:5d} failures  {call}")
    return problems


def address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()


def arrays() -> set[str]:
    """Each call with arrays of 2 MB and ever more room, until it works."""
    problems: set[str] = set()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    for call in every_call(LARGE):
        call.function(*call.arguments)  # scratch memory is kept for the next call
        refused, room, before, start = 0, 0, held(kept_by(call))[:1], address_space()
        while True:
            resource.setrlimit(resource.RLIMIT_AS, (address_space() + room, hard))
            try:
                call.function(*call.arguments)
                break
            except MemoryError:
                refused += 1
            except BaseException as error:
                problems.add(f"{call}: without {room} bytes it fails with {error!r}")
                break
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            room += 3 << 18
        if address_space() - start > PAGES:
            problems.add(f"{call}: {address_space() - start} bytes are kept after {refused} failures")
        if held(kept_by(call))[:1] != before:
            problems.add(f"{call}: its first argument or the references to it have changed")
        print(f"{refused:5d} failures  {call}")
    return problems


MODES: dict[str, Callable[[], set[str]]] = {"allocators": allocators, "arrays": arrays}

if __name__ == "__main__":
    found = MODES[sys.argv[1]]()
    print(*sorted(found), sep="\n")
    sys.exit(1 if found else 0)

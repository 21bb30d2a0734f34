"""Memory that is refused: every function of `_C` raises MemoryError, keeps nothing, and leaves its arguments alone."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..process import run_python
from .calls import public_functions, table

ROOT = Path(__file__).parents[2]

# The C library gives memory back at once, so that a limit of the address space is felt; and threads share one arena, as
# each of their own takes 64 MB of that space, at whatever moment two threads happen to want memory at once.
FELT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


def test_every_function_is_called() -> None:
    assert table(12).keys() == public_functions()


def failures(mode: str, program: str = "inject", **environment: str) -> int:
    """How many calls were refused memory; fails if one of them did something wrong."""
    done = run_python("-c", f"import sys; sys.path.append({str(ROOT)!r}); sys.argv[1:] = [{mode!r}]; "
                      f"import runpy; runpy.run_module('tests.faults.{program}', run_name='__main__')", **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return sum(int(count) for count in re.findall(r"^ *(\d+) failures", done.stdout, re.MULTILINE))


def test_each_allocation_of_python_and_of_the_glue() -> None:
    assert failures("allocators") > 250


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_memory_of_arrays(threads: str) -> None:
    """With a limit of the address space."""
    assert failures("arrays", PQC_NUM_THREADS=threads, **FELT) > 100


@pytest.mark.parametrize("threads", ["1", "2"])
def test_layers_calibrators_and_files(threads: str) -> None:
    """Whole layers, made afresh; OPENBLAS_NUM_THREADS: with several threads that library ends the process instead."""
    assert failures("", "layers", PQC_NUM_THREADS=threads, OPENBLAS_NUM_THREADS="1", **FELT) > 30

"""Large results: their memory is used again, its amount is bounded, and nobody can tell but by the clock."""
from __future__ import annotations

import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pytorch_quantization_c.tensor_quant import fake_tensor_quant
from tests.patience import least_held
from tests.process import run_python

MIB = 1 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def result(bytes_: int, value: float = 0.5) -> np.ndarray:
    return np.asarray(fake_tensor_quant(np.full(bytes_ // 4, value, np.float32), 1.0))


def wanted(value: float) -> np.float32:
    return np.float32(np.rint(np.float32(value) * np.float32(127)) / np.float32(127))


def test_memory_is_used_again_once_its_array_is_gone() -> None:
    first = result(8 * MIB)
    address = first.ctypes.data
    kept = result(8 * MIB, 0.25)
    assert kept.ctypes.data != address and (first == wanted(0.5)).all()
    del first
    again = result(8 * MIB, 0.75)
    assert again.ctypes.data == address
    assert (again == wanted(0.75)).all() and (kept == wanted(0.25)).all()


def test_a_view_keeps_its_memory() -> None:
    view = result(8 * MIB)[5:10]
    for value in (0.1, 0.2, 0.3):
        result(8 * MIB, value)
    assert (view == wanted(0.5)).all()


@pytest.mark.parametrize("bytes_", [4, 1 << 14, 1 << 20, (1 << 20) + 4, 5 * MIB + 12])
def test_results_own_their_data_on_a_cache_line(bytes_: int) -> None:
    y = result(bytes_)
    assert y.flags.owndata and y.flags.writeable and y.flags.c_contiguous
    assert bytes_ < 1 << 14 or y.ctypes.data % 64 == 0
    y.resize(y.size + 1000, refcheck=False)     # by the handler's realloc
    assert (y[: bytes_ // 4] == wanted(0.5)).all() and not y[bytes_ // 4:].any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_kept_is_bounded() -> None:
    for size in (1, 3, 20, 30, 60, 60, 100, 7, 2):
        result(size * MIB)
    gc.collect()
    before = resident()
    arrays = [result(32 * MIB) for _ in range(8)]
    assert resident() - before > 128 * MIB
    del arrays
    gc.collect()
    assert resident() - before < 80 * MIB


def test_tracemalloc_counts_arrays_alone() -> None:
    assert 16 * MIB <= least_held(lambda: result(16 * MIB), 17 * MIB) < 17 * MIB
    assert least_held(lambda: (result(16 * MIB), None)[1], MIB) < MIB


def test_threads_never_share_a_result() -> None:
    def work(number: int) -> bool:
        value = number / 64
        held = [result(2 * MIB, value) for _ in range(3)]
        return all((y == wanted(value)).all() for y in held)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_may_use_what_is_kept() -> None:
    program = """
import os
import numpy as np
from pytorch_quantization_c.tensor_quant import fake_tensor_quant
x = np.full(1 << 20, 0.5, np.float32)
fake_tensor_quant(x, 1.0)
child = os.fork()
y = fake_tensor_quant(x, 1.0)
assert (y == y[0]).all()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr


def test_the_handler_is_named_and_the_default_is_put_back() -> None:
    from numpy._core.multiarray import get_handler_name

    before = get_handler_name()
    assert get_handler_name(result(MIB)) == "pytorch_quantization_c"
    assert get_handler_name() == before

"""The same bits whatever floating-point mode the caller is in, with 1 to 4 threads, on every instruction set."""
from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, isa, threads

libm = ctypes.CDLL(None)
ARM = platform.machine() == "aarch64"
CONTROL = 0 if ARM else 7  # the word of fenv_t that holds FPCR or MXCSR
MODES = ({"flush": 1 << 24, "up": 1 << 22, "down": 2 << 22, "to zero": 3 << 22} if ARM else
         {"FTZ": 1 << 15, "DAZ": 1 << 6, "both": 1 << 15 | 1 << 6, "down": 1 << 13, "up": 2 << 13, "to zero": 3 << 13})


@contextmanager
def float_mode(bits: int) -> Iterator[Callable[[], int]]:
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


def calls() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 1200)).astype(np.float32)
    x[::3] *= np.float32(1e-39)  # subnormal
    amax = np.abs(x).max(1, keepdims=True) * np.float32(0.7)
    half, wide = x.astype(np.float16), x.astype(np.float64)
    w = rng.integers(-127, 128, (48, 1200)).astype(np.int8)
    packed = _C.integer_pack(w, np.linspace(3, 50, 48, dtype=np.float32), False, 1, (), (), (), (), (), 8, False, True)
    counts, centres = rng.integers(0, 1000, 512), (np.arange(512, dtype=np.float32) + np.float32(0.5)) / np.float32(100)
    return {
        "quantize": (_C.quantize, (x, amax, 8, False, True)),
        "fake_quant": (_C.fake_quant, (x, amax, 8, False, True)),
        "fake_quant float16": (_C.fake_quant, (half, 2.0, 8, False, True)),
        "fake_quant float64": (_C.fake_quant, (wide, 1.7, 5, False, True)),
        "e4m3": (_C.e4m3, (x, amax)),
        "ste": (_C.ste, (x, amax, x)),
        "fake_affine": (_C.fake_affine, (x, -1.3, 1.9, 8)),
        "amax": (_C.amax, (x * np.float32(1e-10), (1,), True)),
        "integer": (_C.integer_run, (packed, x, None, np.linspace(-1, 1, 48, dtype=np.float32))),
        "erf": (_C.erf, (x,)),
        "magnitudes": (_C.magnitudes, (x,)),
        "histc_edges": (_C.histc_edges, (1.7, 2048)),
        "entropy": (_C.entropy_search, (counts, 8, False, 1, 128)),
        "mse": (_C.mse_search, (counts, centres, 8, False, 1, 0)),
        "percentile": (_C.percentile_search, (counts, 0.999)),
    }


def bits_of(answer: Any) -> Any:
    return [np.asarray(each).tobytes() for each in (answer if isinstance(answer, tuple) else (answer,))]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("name", calls())
def test_bits_do_not_depend_on_the_mode(name: str, count: int) -> None:
    function, arguments = calls()[name]
    expected = bits_of(function(*arguments))
    before = threads.get_num_threads()
    threads.set_num_threads(count)
    try:
        for level in range(len(isa.available())):
            with isa.only(*isa.available()[:level + 1]):
                for mode, flags in MODES.items():
                    with float_mode(flags) as current:
                        set_to = current()
                        answers = [function(*arguments) for _ in range(3)]
                        kept = current() == set_to
                    assert kept, (mode, level)
                    assert all(bits_of(answer) == expected for answer in answers), (mode, level)
    finally:
        threads.set_num_threads(before)

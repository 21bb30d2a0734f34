"""Every elementwise kernel on every instruction set: sizes, layouts, output arrays."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import _C, threads

from .. import oracle
from .cases import CASES, DTYPES, SIZES, Case, e4m3, nasty, same_bits

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@every_case
@every_dtype
def test_sizes(isa: str, case: Case, dtype: type, rng: np.random.Generator) -> None:
    for n in SIZES:
        x = nasty(rng, n, dtype)
        same_bits(case.run(x), case.expect(x))


def strided(x: Any) -> Any:
    base = np.zeros((*x.shape[:-1], 3 * x.shape[-1]), x.dtype)
    base[..., 1::3] = x
    return base[..., 1::3]


def misaligned(x: Any) -> Any:
    base = np.zeros(x.nbytes + 1, np.uint8)
    base[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return base[1:].view(x.dtype).reshape(x.shape)


def read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": strided,
    "misaligned": misaligned,
    "read_only": read_only,
    "fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.swapaxes(0, -1)).swapaxes(0, -1),
    "swapped": lambda x: x.astype(x.dtype.newbyteorder("S")),
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
}


@every_case
@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(case: Case, dtype: type, layout: str, rng: np.random.Generator) -> None:
    if layout == "swapped" and dtype is ml_dtypes.bfloat16:
        layout = "strided"  # there is no bfloat16 of the other byte order
    for shape in ((37,), (5, 7), (3, 1, 4, 5)):
        plain = nasty(rng, shape, dtype)
        x = LAYOUTS[layout](plain)
        plain = np.array(x, dtype)
        before = x.tobytes()
        got, wanted = case.run(x), case.expect(plain)
        same_bits(got, wanted)
        assert got.flags.c_contiguous and got.dtype.isnative and x.tobytes() == before


@every_case
@every_dtype
def test_empty_and_0d(isa: str, case: Case, dtype: type) -> None:
    for shape in ((0,), (0, 3), (3, 0, 2)):
        x = np.empty(shape, dtype)
        same_bits(case.run(x), case.expect(x))
    for number in (0.3, -1.5, float("nan")):
        x = np.array(number, dtype)
        same_bits(case.run(x), case.expect(x))


@pytest.mark.parametrize(("shape", "amax_shape"), [
    ((6, 5), (6, 1)), ((6, 5), (5,)), ((4, 3, 50), (3, 1)), ((2, 3, 4, 5), (1, 3, 1, 1)), ((2, 3, 4, 5), (3, 4, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 1)), ((2, 2000), (2000,)), ((700, 3), (3,)), ((1500, 2, 1), (1500, 1, 1)), ((5,), (4, 1)),
    ((3, 1), (1, 40)), ((40,), (1,)), ((), (2,)),
])
@every_dtype
def test_channels(isa: str, shape: tuple[int, ...], amax_shape: tuple[int, ...], dtype: type,
                  rng: np.random.Generator) -> None:
    x, amax = nasty(rng, shape, dtype), rng.uniform(0.1, 4, amax_shape).astype(np.float32)
    amax.flat[0] = 0
    full = np.broadcast_to(x, np.broadcast_shapes(shape, amax_shape))
    same_bits(_C.fake_quant(x, amax, 8, False, True), oracle.integer(full, amax)[1])
    same_bits(_C.quantize(x, amax, 8, False, False)[0], oracle.integer(full, amax, 8, False, False)[0])
    same_bits(_C.e4m3(x, amax), e4m3(full, amax))
    grad = np.ones(full.shape, dtype)
    same_bits(_C.ste(x, amax, grad), oracle.ste(full, amax, grad))


OUTPUTS: dict[str, Callable[[Any, Any], Any]] = {
    "fake_quant": lambda x, out: _C.fake_quant(x, np.float32(2), 8, False, True, out),
    "e4m3": lambda x, out: _C.e4m3(x, np.float32(2), out),
}


@pytest.mark.parametrize("name", OUTPUTS)
@every_dtype
def test_writes_its_output_and_nothing_else(isa: str, name: str, dtype: type, rng: np.random.Generator) -> None:
    run = OUTPUTS[name]
    for n in SIZES:
        x = nasty(rng, n, dtype)
        wanted = run(x, None)
        around = np.full(n + 40, 77, dtype)
        out = around[20:20 + n]
        assert run(x, out) is out
        same_bits(out, wanted)
        assert (around[:20] == 77).all() and (around[20 + n:] == 77).all()
        swapped = np.full(2 * n, 77, dtype)[::2]
        assert run(x, swapped) is swapped
        same_bits(swapped, wanted)
        shifted = np.append(x, x[:1])  # out overlaps x, one element further
        run(shifted[:n], shifted[1:] if n else shifted)
        same_bits(shifted[1:] if n else shifted, wanted)
        assert run(x, x) is x
        same_bits(x, wanted)


@every_case
def test_large_arrays_on_any_number_of_threads(isa: str, case: Case, thread_count: None,
                                               rng: np.random.Generator) -> None:
    for dtype, n in ((np.float32, 300_007), (np.float16, 150_001), (ml_dtypes.bfloat16, 150_001), (np.float64, 50_001)):
        x = nasty(rng, n, dtype)
        results = []
        for count in (1, 2, 4):
            threads.set_num_threads(count)
            results.append(case.run(x))
        same_bits(results[0], case.expect(x))
        assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_output_around_the_caches(isa: str) -> None:
    """From 16 MB on the result is written past the caches."""
    x = np.resize(np.arange(-1000, 1003, dtype=np.float32) / 256, (1 << 22) + 5)
    wanted = np.resize(oracle.integer(x[:2003], np.float32(2.5))[1], x.shape)
    same_bits(_C.fake_quant(x, np.float32(2.5), 8, False, True), wanted)
    base = np.full(x.size + 2, 77, np.float32)
    _C.fake_quant(x, np.float32(2.5), 8, False, True, base[1:-1])
    same_bits(base[1:-1], wanted)
    assert base[0] == base[-1] == 77

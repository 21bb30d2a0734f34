"""The same bits whatever floating-point mode the caller is in, with 1 to 4 threads, on every instruction set."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C

from ..everywhere import assert_same_in_every_mode
from ..kernels.test_recurrent import case


def _int4_packed(codes: Any, scales: Any) -> Any:
    return _C.int4_unpack(_C.int4_pack(codes, scales, 32), 48, 128, 32)


def _histogram(x: Any) -> Any:
    counts = np.zeros(2048, np.int64)
    _C.histogram(x, np.linspace(0, 4, 2049, dtype=np.float32), counts, False, True)
    return counts


def calls() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 1200)).astype(np.float32)
    x[::3] *= np.float32(1e-39)  # subnormal
    amax = np.abs(x).max(1, keepdims=True) * np.float32(0.7)
    half, wide = x.astype(np.float16), x.astype(np.float64)
    w = rng.integers(-127, 128, (48, 1200)).astype(np.int8)
    packed = _C.integer_pack(w, np.linspace(3, 50, 48, dtype=np.float32), False, 1, (), (), (), (), (), 8, False, True)
    image = rng.standard_normal((1, 4, 40, 40)).astype(np.float32)
    kernel = rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8)
    geometry = ((1, 1), (1, 1), (1, 1), (1, 1), (0, 0))
    conv = _C.integer_pack(kernel, np.linspace(3, 50, 8, dtype=np.float32), False, 1, *geometry, 8, False, True)
    codes, scales = rng.integers(1, 16, (48, 128)).astype(np.uint8), rng.uniform(3, 50, (48, 4)).astype(np.float32)
    panels = _C.int4_pack(codes, scales, 32)
    a, b = x.reshape(8, 8, 1200), rng.standard_normal((8, 1200, 40)).astype(np.float32)
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
        "convolution": (_C.integer_run, (conv, image, 2.7, None)),
        "convolution with a range of its own": (_C.integer_run, (conv, image, None, np.linspace(-1, 1, 8, dtype="f"))),
        "int4": (_C.int4_run, (panels, None, None, None, 0, 48, 128, 32, x[:, :128].copy(), None, True, None, 8, False,
                               True)),
        "int4_pack": (_int4_packed, (codes, scales)),
        "float_quant": (_C.float_quant, (x, amax, 5, 2)),
        "block_quant": (_C.block_quant, (x, 32, 2, 1, 0, 0, 8, 0.0, None, False)),
        "encode": (_C.encode, (x.clip(-1, 1), 4, 3)),
        "shifted_quant": (_C.shifted_quant, (x, amax, amax, 255, True)),
        "matmul": (_C.matmul, (a, b)),
        "softmax": (_C.softmax, (x,)),
        "log_softmax": (_C.log_softmax, (x,)),
        "layer_norm": (_C.layer_norm, (x, x[0], x[1], 1e-5)),
        "sigmoid": (_C.sigmoid, (x * 30,)),
        "tanh": (_C.tanh, (x,)),
        "erf float64": (_C.erf, (wide,)),
        "fake_affine float16": (_C.fake_affine, (half, -1.3, 1.9, 8)),
        "histogram": (_histogram, (x,)),
        "erf": (_C.erf, (x,)),
        "magnitudes": (_C.magnitudes, (x,)),
        "histc_edges": (_C.histc_edges, (1.7, 2048)),
        "entropy": (_C.entropy_search, (counts, 8, False, 1, 128)),
        "mse": (_C.mse_search, (counts, centres, 8, False, 1, 0)),
        "percentile": (_C.percentile_search, (counts, 0.999)),
    }


@pytest.mark.parametrize("exact", [False, True], ids=["floats", "integers"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "GRU_RESET_FIRST"])
def test_cells_do_not_depend_on_the_mode(kind: str, exact: bool) -> None:
    sizes = [9, 9, 4]
    arguments, _ = case(np.random.default_rng(2), kind, 70, 2, 9, sizes, exact)
    arguments[1][::3] *= np.float32(1e-38)
    assert_same_bits(_C.recurrent, (*arguments, np.array(sizes), False, False), (1, 2, 3, 4))


def bits_of(answer: Any) -> list[bytes]:
    return [np.asarray(each).tobytes() for each in (answer if isinstance(answer, tuple) else (answer,))]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("name", calls())
def test_bits_do_not_depend_on_the_mode(name: str, count: int) -> None:
    assert_same_bits(*calls()[name], (count,))


def assert_same_bits(function: Callable[..., Any], arguments: tuple[Any, ...], counts: tuple[int, ...]) -> None:
    assert_same_in_every_mode(lambda: bits_of(function(*arguments)), counts, repeats=3)

"""All halves, all of E4M3, and a million random bit patterns."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import _C

from .. import oracle
from .cases import e4m3, same_bits

CODES = np.arange(1 << 16, dtype=np.uint16)
HALVES = (np.float16, ml_dtypes.bfloat16)
every_half = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: dtype.__name__)


def quiet_codes(dtype: type) -> np.ndarray:
    """Every code, but signalling NaNs with the quiet bit set."""
    infinity, quiet = (0x7c00, 0x200) if dtype is np.float16 else (0x7f80, 0x40)
    return np.where((CODES & 0x7fff) > infinity, CODES | quiet, CODES).astype(np.uint16)


@every_half
def test_halves_pass_unchanged(isa: str, dtype: type) -> None:
    """A gradient goes to float32 and back."""
    got = _C.ste(np.zeros(CODES.shape, dtype), np.float32(1), CODES.view(dtype))
    assert np.array_equal(got.view(np.uint16), quiet_codes(dtype))


@every_half
def test_every_half_through_the_quantisers(isa: str, dtype: type) -> None:
    x = quiet_codes(dtype).view(dtype)
    for amax in (np.float32(1), np.float32(3.7), np.float32(65504), np.float32(2.0 ** -20), np.float32(np.inf)):
        same_bits(_C.fake_quant(x, amax, 8, False, True), oracle.integer(x, amax)[1])
        same_bits(_C.fake_quant(x, amax, 12, False, False), oracle.integer(x, amax, 12, False, False)[1])
        same_bits(_C.e4m3(x, amax), e4m3(x, amax))
        same_bits(_C.ste(x, amax, x), oracle.ste(x, amax, x))
    same_bits(_C.e4m3(x), e4m3(x))
    number = ~np.isnan(x)
    assert np.array_equal(_C.amax(x, (), False).view(np.uint16)[number], (CODES & 0x7fff)[number])


def ml_e4m3(v: np.ndarray) -> np.ndarray:
    """ml_dtypes' conversion, made saturating."""
    return np.clip(v, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)


def test_e4m3_values_and_the_numbers_around_them(isa: str) -> None:
    """Each of the 256 codes comes back; each middle between two goes to the even one, its neighbours to theirs."""
    codes = np.arange(256, dtype=np.uint8)
    values = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    same_bits(_C.e4m3(values), values + np.float32(0))  # -0 is one of the tiny numbers that become +0
    size = values[:127]  # 0 to 448
    middle = (size[1:] + size[:-1]) / 2
    even = np.where(codes[:126] % 2 == 0, size[:-1], size[1:])
    for sign in (np.float32(1), np.float32(-1)):
        same_bits(_C.e4m3(sign * middle), sign * even)
        same_bits(_C.e4m3(sign * np.nextafter(middle, np.float32(0))), sign * size[:-1])
        same_bits(_C.e4m3(sign * np.nextafter(middle, np.float32(1000))), sign * size[1:])
        over = np.float32([449, 464, 480, 1e5, 3e38, np.inf])
        same_bits(_C.e4m3(sign * over), np.full(6, sign * 448, np.float32))


@pytest.mark.parametrize("amax", [None, 448.0, 1.0, 3.7, 1e-9, 1e30])
def test_e4m3_of_random_bits(isa: str, amax: float | None, rng: np.random.Generator) -> None:
    x = rng.integers(0, 1 << 32, 1_000_000, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        scale = np.float32(1) if amax is None else np.float32(1) / np.float32(amax) * np.float32(448)
        wanted = np.where(np.abs(x) < np.float32(2.0 ** -24), np.float32(0), ml_e4m3(x * scale) / scale)
    same_bits(_C.e4m3(x, None if amax is None else np.float32(amax)), wanted)


@pytest.mark.parametrize("num_bits", [2, 4, 8, 16, 24])
def test_integers_of_random_bits(isa: str, num_bits: int, rng: np.random.Generator) -> None:
    """Also the quotients: by true division in NumPy, by reciprocals in the kernels."""
    x = rng.integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    for exponent in (-100, -23, -3, 0, 7, 60, 126):
        amax = np.float32(rng.uniform(1, 2) * 2.0 ** exponent)
        spread = np.concatenate([x, rng.uniform(-1.1, 1.1, 100_000).astype(np.float32) * amax])
        whole, fake, _ = oracle.integer(spread, amax, num_bits, False, False)
        same_bits(_C.fake_quant(spread, amax, num_bits, False, False), fake)
        same_bits(_C.quantize(spread, amax, num_bits, False, False)[0], whole)

"""Blocks of ggml against bytes written down, and against its reference quantisers written in loops."""
from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import formats

KVALUES = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]     # twice the values of E2M1
F = np.float32


def q4_0(x: Any) -> bytes:
    largest = F(0)
    for v in x:
        if abs(v) > abs(largest):
            largest = v
    d = largest / F(-8)
    inverse = F(1) / d if d else F(0)
    codes = [min(15, int(v * inverse + F(8.5))) for v in x]
    return struct.pack("<e", d) + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))


def q8_0(x: Any) -> bytes:
    d = max(abs(v) for v in x) / F(127)
    inverse = F(1) / d if d else F(0)
    scaled = [float(v * inverse) for v in x]
    return struct.pack("<e32b", d, *(int(math.copysign(math.floor(abs(v) + 0.5), v)) for v in scaled))


def mxfp4(x: Any) -> bytes:
    amax = max(abs(float(v)) for v in x)
    exponent = math.floor(math.log2(amax)) - 2 + 127 if amax > 0 else 0
    d = 2.0 ** (exponent - 128)
    codes = [min(range(16), key=lambda code: (abs(float(v) - KVALUES[code] * d), code)) for v in x]
    return bytes([exponent]) + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))


RULES = {"q4_0": q4_0, "q8_0": q8_0, "mxfp4": mxfp4}


@pytest.mark.parametrize("name", RULES)
def test_the_reference(name: str, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(12, 96)) * np.exp2(rng.integers(-8, 8, (12, 1)))).astype(np.float32)
    x[3] = 0
    x[4] = np.resize(np.float32([0.25, 0.75, 1.25, -1.75, 2.5, -3.5, 5, 6, -0.25]), 96)
    x[5] = np.resize(np.float32([0.5, -1.5, 2.5, 127, -126.5]), 96)
    got = formats.to_ggml(name.upper(), x)
    for row, blocks in zip(x, got, strict=True):
        for at, block in enumerate(blocks):
            assert block.tobytes() == RULES[name](row[32 * at:32 * at + 32])
    back = formats.from_ggml(name, got)
    limit = {"q4_0": 1 / 8, "q8_0": 1 / 200, "mxfp4": 1 / 3}[name]
    largest = np.abs(x.reshape(12, 3, 32)).max(2).repeat(32, 1)
    assert back.dtype == np.float32 and (np.abs(back - x) <= limit * largest).all()


def test_bytes_by_hand() -> None:
    ramp = np.arange(-16, 16, dtype=np.float32)
    assert formats.to_ggml("q4_0", ramp).tobytes().hex() == "0040" + "809191a2a2b3b3c4c4d5d5e6e6f7f7f8"
    assert formats.to_ggml("q8_0", np.float32([127] + [-1] * 31)).tobytes().hex() == "003c7f" + "ff" * 31
    assert formats.to_ggml("mxfp4", np.float32([6, -0.5] + [0] * 14 + [4] + [1] * 15)).tobytes().hex() == \
        "7f67" + "29" + "20" * 14
    values = formats.from_ggml("q4_0", np.frombuffer(bytes.fromhex("003c" + "80" * 15 + "0f"), np.uint8)[None])
    assert values.tolist() == [-8] * 15 + [7] + [0] * 15 + [-8]
    assert formats.from_ggml("mxfp4", np.frombuffer(bytes.fromhex("80" + "17" * 16), np.uint8)[None]).tolist() == \
        [12.0] * 16 + [1.0] * 16


def test_what_is_refused() -> None:
    for call in (lambda: formats.to_ggml("q5_1", np.zeros(32, np.float32)), lambda: formats.to_ggml("q4_0", np.zeros(
            33, np.float32)), lambda: formats.to_ggml("q4_0", np.full(32, np.nan, np.float32)),
            lambda: formats.from_ggml("q8_0", np.zeros((1, 18), np.uint8))):
        with pytest.raises(ValueError, match="Expected"):
            call()
    with pytest.raises(TypeError, match="uint8"):
        formats.from_ggml("q8_0", np.zeros((1, 34)))

"""The peak of this machine's instruction for products of small integers, which a layer's speed is compared with."""
from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).with_name("product_peak.c")
ACCUMULATORS = 12
# By instruction set: the instruction, and its multiplications and additions.
INSTRUCTIONS = {"amx": ("tdpbusd, random bytes", 32768), "vnni": ("vpdpbusd, 512 bits", 128),
                "avxvnni": ("vpdpbusd, 256 bits", 64), "avx2": ("vpmaddwd + vpaddd, 256 bits", 32)}


class Peak(NamedTuple):
    instruction: str
    speed: float  # operations a second of one core


class Meter:
    """Measures the best of some instruction sets again and again.

    `peak` is the most that was seen, None if no instruction or compiler is there.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.peak: Peak | None = None
        self.run: Any = None
        self.kind = next((name for name in INSTRUCTIONS if name in kinds), "")
        if self.kind:
            self.run = compiled(f"peak_{self.kind}")

    def measure(self, times: int = 10, rounds: int = 300_000) -> None:
        if self.run is None:
            return
        instruction, operations = INSTRUCTIONS[self.kind]
        for _ in range(times):
            start = time.perf_counter()
            self.run(ctypes.c_long(rounds))
            speed = rounds * ACCUMULATORS * operations / (time.perf_counter() - start)
            if self.peak is None or speed > self.peak.speed:
                self.peak = Peak(instruction, speed)


def compiled(function: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        command = ["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return getattr(ctypes.CDLL(str(library)), function, None)

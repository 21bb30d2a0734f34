"""The peak of this machine's instruction for products of small integers, which a layer's speed is compared with."""
from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from pytorch_quantization_c import isa

SOURCE = Path(__file__).with_name("product_peak.c")
ACCUMULATORS = 12
# By instruction set: the instruction, and its multiplications and additions.
INSTRUCTIONS = {"vnni": ("vpdpbusd, 512 bits", 128), "avxvnni": ("vpdpbusd, 256 bits", 64),
                "avx2": ("vpmaddwd + vpaddd, 256 bits", 32)}


class Peak(NamedTuple):
    instruction: str
    speed: float  # operations a second of one core


def measured() -> Peak | None:
    """Of the best instruction that this machine has; None if there is none in the list, or no compiler."""
    kind = next((name for name in INSTRUCTIONS if name in isa.available()), None)
    if kind is None:
        return None
    instruction, operations = INSTRUCTIONS[kind]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        command = ["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        run = getattr(ctypes.CDLL(str(library)), f"peak_{kind}")
    best, rounds = 0.0, 300_000
    for _ in range(30):
        start = time.perf_counter()
        run(ctypes.c_long(rounds))
        best = max(best, rounds * ACCUMULATORS * operations / (time.perf_counter() - start))
    return Peak(instruction, best)

"""The quickest notebook runs from its first cell to its last; `make notebooks` runs them all."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def test_quantization_basics() -> None:
    command = [sys.executable, "make_notebooks.py", "--run-only", "quantization_basics"]
    finished = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert finished.stdout.startswith("quantization_basics: ")

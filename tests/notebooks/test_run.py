"""The quickest notebook runs from its first cell to its last; `make notebooks` runs them all."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytorch_quantization_c

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def test_quantization_basics() -> None:
    command = [sys.executable, "make_notebooks.py", "--run-only", "quantization_basics"]
    environment = {**os.environ, "PYTHONPATH": str(Path(pytorch_quantization_c.__file__).parent.parent)}
    finished = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert finished.stdout.startswith("quantization_basics: ")

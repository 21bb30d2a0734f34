"""The quickest notebook runs from its first cell to its last; `make notebooks` runs them all."""
from __future__ import annotations

from pathlib import Path

from ..process import run_python

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def test_quantization_basics() -> None:
    finished = run_python(str(EXAMPLES / "make_notebooks.py"), "--run-only", "quantization_basics", timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert finished.stdout.startswith("quantization_basics: ")

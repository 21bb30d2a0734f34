"""Python in a process of its own, with the very package that this process tests: installed, or built in place."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytorch_quantization_c

HOME = str(Path(pytorch_quantization_c.__file__).resolve().parent.parent)


def run_python(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python *arguments` in an empty folder, so that no source tree lies in the way; what came out, and the code."""
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True, text=True, timeout=timeout,
        )

"""The benchmarks' modules, which are no package: loaded from their folder for the tests of what they compare with."""
from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = str(Path(__file__).resolve().parent.parent / "benchmarks")


def load(name: str) -> ModuleType:
    """`benchmarks/<name>.py`; its neighbours are importable while it loads, and stay loaded."""
    sys.path.insert(0, FOLDER)
    try:
        return import_module(name)
    finally:
        sys.path.remove(FOLDER)

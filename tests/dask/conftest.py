"""Worker processes get this process's search path: with the folder that holds `tests`, they can import its models."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parent.parent.parent)


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    sys.path.append(ROOT)
    yield
    sys.path.remove(ROOT)

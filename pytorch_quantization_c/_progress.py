"""Progress of long loops: tqdm's bar where it is installed, nothing else."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], what: str, wanted: bool | None = None) -> Iterable[T]:
    """`items`, with a bar while they are gone through.

    Args:
        what: shown before the bar.
        wanted: True or False; None means: if standard error is a terminal.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted):
        return items
    try:
        from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return items
    bar: Iterable[T] = tqdm(items, desc=what)
    return bar

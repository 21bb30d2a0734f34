"""A progress bar on long loops: tqdm's where it is installed (the extra `progress`), else none."""
from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Any, TypeVar

Item = TypeVar("Item")

LONG = 8    # shorter loops need no bar


def progress(items: Collection[Item], what: str, wanted: bool | None = None, long: int = LONG) -> Iterable[Item]:
    """The items, with a bar titled `what` while they are consumed.

    Args:
        wanted: True or False; None: if there are at least `long` items and the output is a terminal.
    """
    if not (len(items) >= long if wanted is None else wanted):
        return items
    try:
        tqdm: Any = import_module("tqdm").tqdm
    except ImportError:
        return items
    bar: Iterable[Item] = tqdm(items, desc=what, leave=False, disable=None if wanted is None else False)
    return bar

"""A progress bar on long loops: tqdm's where it is installed (the extra `progress`) and a terminal looks on."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, TypeVar

Item = TypeVar("Item")

LONG = 8    # shorter loops need no bar


def progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """The items, with a bar titled `what` if there are many."""
    if len(items) < LONG:
        return items
    try:
        tqdm: Any = import_module("tqdm").tqdm
    except ImportError:
        return items
    bar: Iterable[Item] = tqdm(items, desc=what, leave=False, disable=None)
    return bar

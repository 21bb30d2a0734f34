"""All-or-nothing changes of a model, of either front."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._core.integer_engine import IntegerEngine

__all__ = ["whole_or_not_at_all"]

TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def whole_or_not_at_all(model: Any) -> Iterator[None]:
    """If the block raises, every module gets back its attributes, and every parameter and buffer its contents."""
    modules = list(model.modules())
    engines = [vars(module)["_engine"] for module in modules if isinstance(vars(module).get("_engine"), IntegerEngine)]
    attributes = [(vars(each), dict(vars(each))) for each in (*modules, *engines)]
    tables = [(vars(module)[kind], dict(vars(module)[kind])) for module in modules for kind in TABLES]
    arrays = [_snapshot(array) for _, table in tables for array in table.values() if hasattr(array, "dtype")]
    try:
        yield
    except BaseException:
        for now, before in (*attributes, *tables):
            now.clear()
            now.update(before)
        for restore in arrays:
            restore()
        raise


def _snapshot(array: Any) -> Callable[[], None]:
    """A function that restores the present contents of an array or a tensor."""
    if not isinstance(array, np.ndarray):
        before = array.detach().clone()
        return lambda: array.detach().copy_(before)
    if not array.flags.writeable:  # it cannot change
        return lambda: None
    contents = np.array(array)

    def restore() -> None:
        array.setflags(write=True)
        np.copyto(array, contents)

    return restore

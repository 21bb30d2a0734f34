"""Tasks over batches on the workers of a Dask cluster, or on threads of this process; Dask is imported when needed."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

__all__ = ["compute", "dask", "delayed", "forget", "is_spread", "loaders_of", "merged", "opened", "own"]

FAN_IN = 8                      # answers merged by one task
T = TypeVar("T")

# The objects of this process's threads, of the last calibration alone: token of a calibration -> thread -> object.
_owned: dict[str, dict[int, Any]] = {}


def dask() -> Any:
    """Dask. ImportError that names the extra if it is not installed."""
    try:
        import dask
    except ImportError:
        raise ImportError("Expected Dask to be installed: pip install 'pytorch-quantization-c[dask]'") from None
    return dask


def delayed(function: Callable[..., Any]) -> Any:
    """A function whose calls are tasks."""
    return dask().delayed(function, pure=False)


def is_spread(batches: object) -> bool:
    """Whether batches are a dask collection, or a list with one in it; nothing is imported or computed."""
    if isinstance(batches, list | tuple):
        return any(hasattr(type(each), "__dask_graph__") for each in batches)
    return hasattr(type(batches), "__dask_graph__")


def loaders_of(batches: Any) -> list[Any]:
    """One loader a task, dask.delayed or plain."""
    if hasattr(type(batches), "to_delayed"):
        if hasattr(batches, "rechunk"):     # an array: whole items, blocks along the first axis
            batches = batches.rechunk({axis: -1 for axis in range(1, batches.ndim)})
        return list(np.ravel(np.array(batches.to_delayed(), dtype=object)))
    if isinstance(batches, np.ndarray) or not isinstance(batches, Iterable):
        raise TypeError(f"Expected `batches` to be a dask collection or an iterable, got {type(batches).__name__}")
    return list(batches)


def opened(loader: object) -> Any:
    """The batches of a loader: an array or a mapping is one batch, a function is called."""
    loader = loader() if callable(loader) else loader
    return [loader] if hasattr(loader, "shape") or isinstance(loader, Mapping) else loader


def own(token: str, make: Callable[[], T]) -> T:
    """This thread's own object for a calibration, made the first time; those of other calibrations are dropped."""
    for old in [other for other in list(_owned) if other != token]:
        _owned.pop(old, None)
    mine = _owned.setdefault(token, {})
    thread = threading.get_ident()
    if thread not in mine:
        mine[thread] = make()
    found: T = mine[thread]
    return found


def forget(token: str) -> None:
    """Drops the objects of this process's threads; a worker drops its own at the next calibration."""
    _owned.pop(token, None)


def merged(parts: list[Any], merge: Callable[[list[Any]], Any]) -> Any:
    """One task out of several, merged in a tree in their order."""
    merge = delayed(merge)
    while len(parts) > 1:
        parts = [merge(parts[i:i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0]


def compute(task: Any, client: Any = None) -> Any:
    """The answer of a task, by a client, by the active one, or by threads. An exception in a task is raised here."""
    client = _active_client() if client is None else client
    return client.compute(task).result() if client is not None else task.compute(scheduler="threads")


def _active_client() -> Any:
    try:
        distributed: Any = import_module("distributed")
        return distributed.default_client()
    except (ImportError, ValueError):
        return None

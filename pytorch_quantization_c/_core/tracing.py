"""What layers, functions and quantisers ask while a model is being traced.

`graph.trace` and `fold_batch_norm` put a tracer here for as long as they run a model. All others read one name,
`tracer`, which is None.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

__all__ = ["TracedArray", "Tracer", "asking", "traceable"]

C = TypeVar("C", bound=Callable[..., Any])


class TracedArray(np.ndarray):
    """An array whose operations are recorded. Checks of arguments let it pass as it is."""


class Tracer(Protocol):
    """Who records calls. Calls of other threads, and those without anything traced, are to be made as ever."""

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a function."""

    def module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a module's `forward`."""


tracer: Tracer | None = None
_lock = threading.Lock()


@contextmanager
def asking(whom: Tracer) -> Iterator[None]:
    """For the time of a `with` block this tracer is asked; one at a time in a process."""
    global tracer
    with _lock:
        tracer = whom
        try:
            yield
        finally:
            tracer = None


def traceable(function: C) -> C:
    """A function that asks the tracer first, if there is one."""
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if tracer is None:
            return function(*args, **kwargs)
        return tracer.function(function, args, kwargs)
    return call  # type: ignore[return-value]

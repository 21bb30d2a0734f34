"""The hook that layers, functions and quantisers consult while a model is being traced.

`graph.trace` and `fold_batch_norm` install a tracer here while they run a model. Otherwise code reads one name,
`tracer`, which is None.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

__all__ = ["TracedArray", "Tracer", "asking", "asks_instead_of", "traceable"]

C = TypeVar("C", bound=Callable[..., Any])


class TracedArray(np.ndarray):
    """An array whose operations are recorded. Checks of arguments let it pass as it is."""


class Tracer(Protocol):
    """Records calls. Calls from other threads, or without traced arguments, proceed as usual."""

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a function."""

    def module(self, module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a module's `forward`."""


tracer: Tracer | None = None
_lock = threading.RLock()
_methods: list[tuple[type, str, Callable[..., Any]]] = []


def asks_instead_of(cls: type, name: str) -> Callable[[C], C]:
    """Registers a function that replaces a method while there is a tracer, at no cost when there is none.
    """
    def register(function: C) -> C:
        _methods.append((cls, name, function))
        return function
    return register


@contextmanager
def asking(whom: Tracer) -> Iterator[None]:
    """For the duration of a `with` block this tracer is used; one at a time in a process."""
    global tracer
    with _lock:
        if tracer is not None:
            raise RuntimeError("Expected no trace within a trace")
        own = [(cls, name, vars(cls)[name]) for cls, name, _ in _methods]
        try:
            tracer = whom
            for cls, name, function in _methods:
                setattr(cls, name, function)
            yield
        finally:
            for cls, name, method in own:
                setattr(cls, name, method)
            tracer = None


def traceable(function: C) -> C:
    """A function that asks the tracer first, if there is one."""
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        asked = tracer
        return function(*args, **kwargs) if asked is None else asked.function(function, args, kwargs)
    return call  # type: ignore[return-value]

"""What layers, functions and quantisers ask while a model is being traced.

`graph.trace` puts a tracer here for as long as it runs. Everything else reads one name, `tracer`, which is None.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

__all__ = ["TracedArray", "Tracer", "traceable"]

C = TypeVar("C", bound=Callable[..., Any])


class TracedArray(np.ndarray):
    """An array whose operations are recorded. Checks of arguments let it pass as it is."""


class Tracer(Protocol):
    """Who records calls. Calls of other threads, and those without a traced array, are to be made as ever."""

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a function."""

    def module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call of a module's `forward`."""


tracer: Tracer | None = None


def traceable(function: C) -> C:
    """A function that asks the tracer first, if there is one."""
    @functools.wraps(function)
    def asking(*args: Any, **kwargs: Any) -> Any:
        if tracer is None:
            return function(*args, **kwargs)
        return tracer.function(function, args, kwargs)
    return asking  # type: ignore[return-value]

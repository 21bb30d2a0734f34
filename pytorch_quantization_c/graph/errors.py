"""Errors about graphs, and how their parts are named in messages."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["GraphError", "computed", "failed", "shown_node"]


class GraphError(ValueError):
    """A file, a graph or its inputs are invalid; the message names the node or the value."""


def shown_node(op_type: str, domain: str, name: str | None, outputs: list[str]) -> str:
    """A node for a message."""
    kind = f"{domain}.{op_type}" if domain not in ("", "ai.onnx") else op_type
    if name:
        return f"Node {name!r} ({kind})"
    return f"The node of {next((each for each in outputs if each), 'no output')!r} ({kind})"


def computed(compute: Callable[[Sequence[Any]], Sequence[Any]], arrays: Sequence[Any], node: Callable[[], str],
             names: Callable[[], Sequence[str | None]]) -> Sequence[Any]:
    """`compute` of a node's inputs; GraphError that names the node and its inputs if it cannot be computed."""
    try:
        return compute(arrays)
    except (GraphError, MemoryError):
        raise
    except Exception as error:
        raise failed(node(), error, names(), arrays) from error


def failed(node: str, error: Exception, names: Sequence[str | None], arrays: Sequence[Any]) -> GraphError:
    """The error for a node, shown as `node`, that cannot compute its inputs; inputs without a name are left out."""
    pairs = [(name, array) for name, array in zip(names, arrays, strict=True) if name is not None]
    shown = ", ".join(f"{name!r} {array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else
                      f"{name!r} {type(array).__name__}" for name, array in pairs)
    return GraphError(f"{node}: {error}; its inputs are {shown or 'none'}")

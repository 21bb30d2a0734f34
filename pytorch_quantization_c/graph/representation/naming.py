"""Names for what passes add to a graph, unique in the graph and its subgraphs."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import onnx_ir as ir

__all__ = ["free_node_name", "free_value_name", "names_remembered", "told"]


class _Names(NamedTuple):
    values: set[str | None]
    nodes: set[str | None]


_remembered: ContextVar[dict[ir.Graph, _Names] | None] = ContextVar("_remembered", default=None)


def _found(graph: ir.Graph) -> _Names:
    names = _Names(set(), set())
    for each in (graph, *graph.subgraphs()):
        names.values.update(value.name for value in (*each.inputs, *each.initializers.values()))
    for node in graph.all_nodes():
        names.nodes.add(node.name)
        names.values.update(value.name for value in node.outputs)
    return names


def _names(graph: ir.Graph) -> _Names:
    books = _remembered.get()
    if books is None:
        return _found(graph)
    if graph not in books:
        books[graph] = _found(graph)
    return books[graph]


@contextmanager
def names_remembered() -> Iterator[None]:
    """Within, each graph is searched for names once: for edits that take all new names from here."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def _free(wanted: str, taken: set[str | None], separator: str, first: int) -> str:
    name, number = wanted, first
    while name in taken:
        name, number = f"{wanted}{separator}{number}", number + 1
    taken.add(name)
    return name


def free_value_name(graph: ir.Graph, wanted: str) -> str:
    """`wanted`, or with a number behind it: a name that no value of a main graph or its subgraphs has."""
    return _free(wanted, _names(graph).values, "_", 1)


def free_node_name(graph: ir.Graph, wanted: str, separator: str = "_", first: int = 1) -> str:
    """As `free_value_name`, of nodes; `first` is the number behind the first name that is taken."""
    return _free(wanted, _names(graph).nodes, separator, first)


def told(value: ir.Value) -> str:
    """A value for messages, with where it comes from."""
    node = value.producer()
    return f"{value.name!r}" + (" (an input of the model)" if node is None else
                                f" (output of node {node.name!r}, a {node.op_type})")

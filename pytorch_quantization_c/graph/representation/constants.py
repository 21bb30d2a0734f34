"""Constants of a graph: their arrays, and new ones."""
from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from .naming import free_value_name

__all__ = ["constant_of", "new_constant"]


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of a constant of the graph."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def new_constant(graph: ir.Graph, array: Any, name: str) -> ir.Value:
    """A new initialiser, called `name` or like it."""
    free = free_value_name(graph, name)
    tensor = ir.tensor(array, name=free)
    tensor.name = free
    kind, shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
    value = ir.Value(name=free, shape=shape, type=kind, const_value=tensor)
    graph.register_initializer(value)
    return value

"""The declared inputs and outputs of a graph."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from .feeds import Wanted, checked

__all__ = ["TIED", "checked_feeds", "tied_axes", "wanted"]

TIED = "trace.tied_axes"  # in a graph's metadata: names of axes that have the same size in all inputs that have them


def _described_type(value: ir.Value) -> str:
    """The type of a value as onnxruntime names it."""
    kind = value.type
    if isinstance(kind, ir.TensorType):
        name = {"FLOAT": "float", "DOUBLE": "double"}.get(kind.dtype.name, kind.dtype.name.lower())
        return f"tensor({name})"
    return str(kind)


def wanted(value: ir.Value) -> Wanted:
    """An input or an output of a graph."""
    shape = None if value.shape is None else [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    plain = isinstance(value.type, ir.TensorType) and value.dtype not in (None, ir.DataType.STRING)
    dtype = value.dtype.numpy() if plain and value.dtype is not None else None
    return Wanted(value.name or "", shape, _described_type(value), dtype, value.const_value is not None)


def tied_axes(graph: ir.Graph) -> list[str]:
    """The names of axes of which the inputs that have them must have one size."""
    found = graph.metadata_props.get(TIED)
    return found.split(", ") if found else []


def checked_feeds(graph: ir.Graph, feeds: Mapping[str, Any]) -> dict[ir.Value, Any]:
    """The arrays of the inputs. GraphError as `checked`."""
    values = {value.name or "": value for value in graph.inputs}
    arrays = checked([wanted(value) for value in graph.inputs], feeds, tied_axes(graph))
    return {values[name]: array for name, array in arrays.items()}

"""What a graph is given: names, types and shapes."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..errors import GraphError

__all__ = ["TIED", "checked_feeds", "described_type"]

TIED = "trace.tied_axes"  # in a graph's metadata: names of axes that have the same size in all inputs that have them


def described_type(value: ir.Value) -> str:
    """The type of a value as onnxruntime names it."""
    kind = value.type
    if isinstance(kind, ir.TensorType):
        name = {"FLOAT": "float", "DOUBLE": "double"}.get(kind.dtype.name, kind.dtype.name.lower())
        return f"tensor({name})"
    return str(kind)


def _shape(value: ir.Value) -> list[int | str | None] | None:
    return None if value.shape is None else [dim if isinstance(dim, int) else dim.value for dim in value.shape]


def _checked(value: ir.Value, given: Any) -> Any:
    dtype = value.dtype
    if not isinstance(value.type, ir.TensorType) or dtype is None or dtype == ir.DataType.STRING:
        return given
    wanted = dtype.numpy()
    try:
        array = np.asarray(given) if isinstance(given, np.ndarray | np.generic) else np.asarray(given, wanted)
    except (TypeError, ValueError, OverflowError) as error:
        raise GraphError(f"Expected input {value.name!r} of {wanted}, got {type(given).__name__}: {error}") from None
    if array.dtype != wanted:
        raise GraphError(f"Expected input {value.name!r} of {wanted}, got {array.dtype}")
    shape = _shape(value)
    fits = shape is None or (len(shape) == array.ndim and all(
        not isinstance(n, int) or n == m for n, m in zip(shape, array.shape, strict=True)))
    if not fits:
        raise GraphError(f"Expected input {value.name!r} of shape {shape}, got {list(array.shape)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def checked_feeds(graph: ir.Graph, feeds: Mapping[str, Any]) -> dict[ir.Value, Any]:
    """The arrays of the inputs. GraphError that names the input if one is missing, unknown or does not fit."""
    if not isinstance(feeds, Mapping):
        raise GraphError(f"Expected `feeds` to be a dictionary of arrays by input name, got {type(feeds).__name__}")
    names = {value.name: value for value in graph.inputs}
    for name in feeds:
        if name not in names:
            raise GraphError(f"Expected inputs {sorted(map(str, names))}, got {name!r}")
    missing = [name for name, value in names.items() if name not in feeds and value.const_value is None]
    if missing:
        raise GraphError(f"Expected inputs {sorted(map(str, names))}, got none for {missing[0]!r}")
    checked = {names[name]: _checked(names[name], given) for name, given in feeds.items()}
    if TIED in graph.metadata_props:
        _check_tied(graph.metadata_props[TIED].split(", "), checked)
    return checked


def _check_tied(tied: list[str], arrays: Mapping[ir.Value, Any]) -> None:
    """GraphError if an axis that a traced model takes in one size alone has two."""
    known: dict[str, tuple[int, ir.Value]] = {}
    for value, array in arrays.items():
        for name, size in zip(_shape(value) or (), np.shape(array), strict=False):
            if not isinstance(name, str) or name not in tied:
                continue
            other, first = known.setdefault(name, (size, value))
            if other != size:
                raise GraphError(f"Expected inputs {first.name!r} and {value.name!r} with the same axis {name!r}, got "
                                 f"{other} and {size}")

"""Tensors whose numbers lie in files beside the model's: read from its folder and nowhere else."""
from __future__ import annotations

import os
from collections.abc import Iterator

import onnx

from ..errors import GraphError

__all__ = ["embed_external", "tensors"]


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a graph: initialisers, attributes, those of its subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        yield from node_tensors(node)


def node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """All tensors in the attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            yield from tensors(graph)


def _all(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from node_tensors(node)


def _place(tensor: onnx.TensorProto, folder: str) -> tuple[str, int, int | None]:
    """The file of a tensor, and the offset and length in it. GraphError if that is not a file of the folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, root = entries.get("location", ""), os.path.realpath(folder)
    relative = bool(location) and not os.path.isabs(location) and "\0" not in location
    path = os.path.realpath(os.path.join(root, location)) if relative else ""
    if not relative or os.path.commonpath([root, path]) != root:
        raise GraphError(f"Expected tensor {tensor.name!r} in a file of the model's folder, got {location!r}")
    if not os.path.isfile(path):
        raise GraphError(f"Expected tensor {tensor.name!r} in the file {location!r} of the model's folder, got none")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries["length"]) if "length" in entries else None
    except ValueError:
        raise GraphError(f"Expected integers for where tensor {tensor.name!r} lies, got {entries}") from None
    size = os.path.getsize(path)
    if not 0 <= offset <= size or (length is not None and not 0 <= length <= size - offset):
        raise GraphError(f"Expected tensor {tensor.name!r} within the {size} bytes of {location!r}, "
                         f"got offset {offset} and length {length}")
    return path, offset, length


def embed_external(model: onnx.ModelProto, folder: str | None) -> None:
    """Reads the numbers that lie in other files into the model.

    Args:
        model: is changed.
        folder: that of the model's file; None if it came from none, and then there may be no such tensors.

    Raises:
        GraphError: a tensor in a file outside of the folder, in none, or beyond the end of its file.
    """
    for tensor in _all(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        if folder is None:
            raise GraphError(f"Expected tensor {tensor.name!r} in the model itself, got one in another file: load the "
                             "model by its path")
        path, offset, length = _place(tensor, folder)
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read() if length is None else file.read(length)
        tensor.raw_data = data
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT

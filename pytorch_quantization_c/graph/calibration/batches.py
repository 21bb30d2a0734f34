"""Batches in the forms users have them, as feeds by input name."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.errors import shown
from ..interpreter.table import attribute

Feeds = dict[str, NDArray[Any]]
RECURRENT = {"LSTM", "GRU", "RNN"}
SEQUENCE = "pytorch_quantization_c.sequence"  # of a model without its nodes: what `is_sequence` said
NO_BATCH = "Expected `batches` to have at least one batch, got none"


def inputs_of(model: ir.Model) -> list[ir.Value]:
    """The inputs that a caller must give: those without a default."""
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


def feeds_of(model: ir.Model, batches: Any) -> Iterator[Feeds]:
    """Feeds for each batch: of arrays (one input), tuples or lists in the order of inputs, or dicts by name.

    A batch of more samples than a model of a fixed batch takes is cut into several.

    Args:
        batches: an iterable, or anything with `get_next()` that ends with None.

    Raises:
        TypeError: no iterable, or a batch of another kind.
        ValueError: names, number, shapes or types that are not the model's, or no batch at all.
    """
    found = numbered(model, batches)
    first = next(found, None)
    if first is None:
        raise ValueError(NO_BATCH)
    yield from fitting(model, first)
    for feeds in found:
        yield from fitting(model, feeds)


def numbered(model: ir.Model, batches: Any, where: str = "") -> Iterator[Feeds]:
    """As `feeds_of`, of no batch too; `where` follows a batch's number in messages."""
    inputs = inputs_of(model)
    for number, batch in enumerate(_each(batches)):
        yield checked(inputs, _named(inputs, batch, hasattr(batches, "dataset")), f"batch {number}{where}")


def _each(batches: Any) -> Iterator[Any]:
    if hasattr(batches, "get_next"):
        yield from iter(batches.get_next, None)
        return
    if isinstance(batches, str | bytes | Mapping | np.ndarray) or not isinstance(batches, Iterable):
        raise TypeError("Expected `batches` to be a list or another iterable of batches, or to have get_next(), got "
                        f"{type(batches).__name__}")
    yield from batches


def _named(inputs: list[ir.Value], batch: Any, with_labels: bool) -> Mapping[str, Any]:
    """A batch by names. A DataLoader's batch may have labels behind the inputs."""
    if isinstance(batch, Mapping):
        return batch
    values = list(batch) if isinstance(batch, tuple | list) else [batch]
    values = values[:len(inputs)] if with_labels else values
    if len(values) != len(inputs):
        raise ValueError(f"Expected a batch of {len(inputs)} arrays ({', '.join(str(v.name) for v in inputs)}), got "
                         f"{len(values)}")
    return {str(value.name): array for value, array in zip(inputs, values, strict=True)}


def checked(inputs: Sequence[ir.Value], batch: Mapping[str, Any], where: str) -> Feeds:
    """The arrays of a batch, of the types that the model wants. ValueError that names the input otherwise."""
    names = [str(value.name) for value in inputs]
    strangers = [name for name in batch if name not in names]
    if strangers or len(batch) < len(names):
        missing = [name for name in names if name not in batch]
        raise ValueError(f"Expected {where} to have the inputs {names}, got one without {missing} and with {strangers}")
    return {str(value.name): _array(value, batch[str(value.name)], where) for value in inputs}


def _array(value: ir.Value, given: Any, where: str) -> NDArray[Any]:
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    dtype = None if value.dtype is None else value.dtype.numpy()
    if dtype is not None and array.dtype != dtype:
        if array.dtype.kind not in "fiub" or (array.dtype.kind in "iub") != (np.dtype(dtype).kind in "iub"):
            raise ValueError(f"Expected input {value.name!r} of {where} to hold {np.dtype(dtype).name}, got "
                             f"{array.dtype.name}")
        array = array.astype(dtype)
    shape = None if value.shape is None else tuple(value.shape)
    if shape is not None and (len(shape) != array.ndim or any(
            isinstance(size, int) and size != given and not (axis == 0 and given % max(size, 1) == 0)
            for axis, (size, given) in enumerate(zip(shape, array.shape, strict=False)))):
        raise ValueError(f"Expected input {value.name!r} of {where} of shape {shown(list(map(_size, shape)))}, got "
                         f"{list(array.shape)}")
    return array


def _size(size: Any) -> Any:
    return size if isinstance(size, int) else str(size)


def _first_names(shapes: Iterable[ir.Shape | None]) -> set[str]:
    """The names of axes 0, where they have one."""
    return {str(shape[0]) for shape in shapes if shape and not isinstance(shape[0], int)} - {"None"}


def is_sequence(model: ir.Model) -> bool:
    """Whether axis 0 of an input is time, along which a recurrent layer goes (its layout being 0), by its name."""
    if SEQUENCE in model.metadata_props:
        return True
    layers = [node for node in model.graph if node.op_type in RECURRENT and not attribute(node, "layout", 0)]
    times = _first_names(node.inputs[0].shape for node in layers if node.inputs[0] is not None)
    return bool(times & _first_names(value.shape for value in inputs_of(model)))


def fitting(model: ir.Model, feeds: Feeds) -> list[Feeds]:
    """A batch as the model takes it: itself, or cut where axis 0 of its inputs is fixed to fewer samples."""
    fixed = [value.shape[0] for value in inputs_of(model) if value.shape]
    too_many = any(isinstance(size, int) and array.ndim and array.shape[0] != size
                   for size, array in zip(fixed, feeds.values(), strict=False))
    return samples(model, feeds) if too_many else [feeds]


def samples(model: ir.Model, feeds: Feeds) -> list[Feeds]:
    """A batch cut along axis 0 into the smallest ones that the model takes; itself where that is not possible.

    Inputs whose axes 0 have different names, as time and samples do, are not cut even where the sizes are equal, nor
    are sequences, see `is_sequence`.
    """
    shapes = [value.shape for value in inputs_of(model)]
    if len(_first_names(shapes)) > 1 or is_sequence(model):
        return [feeds]
    counts = set()
    for shape, array in zip(shapes, feeds.values(), strict=True):
        if array.ndim == 0 or shape is None:
            return [feeds]
        size = shape[0] if isinstance(shape[0], int) else 1
        if size < 1 or array.shape[0] % size:  # pyright: ignore
            return [feeds]
        counts.add(array.shape[0] // size)
    count = counts.pop() if len(counts) == 1 else 1
    if count < 2:
        return [feeds]
    return [{name: part for name, part in zip(feeds, parts, strict=True)}
            for parts in zip(*(np.split(array, count) for array in feeds.values()), strict=True)]

"""Sizes that may change: which constants of a graph depend on them, and the nodes that compute those constants."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .runs import Run, changed_constants, keys_of

__all__ = ["Axis", "Sizes", "Unexplained", "make_symbolic"]

Array = NDArray[Any]
Vector = tuple[int, ...]


class Axis(NamedTuple):
    """An axis of inputs whose size may change: (number of the input, axis) for each, and what it is called."""

    places: tuple[tuple[int, int], ...]
    name: str


class Unexplained(Exception):
    """A constant that changes in a way that no size explains: where it was recorded, and in which run it differs."""

    def __init__(self, place: str, run: int) -> None:
        super().__init__(place)
        self.place, self.run = place, run


class Sizes:
    """The sizes of all values in all runs, and how a number that follows them is computed in the graph of the first."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, self.recording = runs, runs[0].recording
        maps = [{key: value for value, key in keys_of(run).items()} for run in runs]
        self.order = keys_of(runs[0])
        self.shapes = {value: list(zip(*(run.recording.arrays[each[key]].shape for run, each in
                                         zip(runs, maps, strict=True)), strict=True))
                       for value, key in self.order.items()}

    def vector(self, value: ir.Value, axis: int) -> Vector:
        """The size of one axis in each run."""
        return self.shapes[value][axis]

    def source(self, wanted: Vector, before: ir.Node) -> tuple[int, list[tuple[ir.Value, int]]] | None:
        """A whole number and axes of values known before a node whose product is `wanted` in each run."""
        inputs = [(value, axis) for value in self.recording.graph.inputs for axis in range(len(self.shapes[value]))
                  if len(set(self.vector(value, axis))) > 1]
        for value, axis in inputs:
            factor = _ratio(wanted, self.vector(value, axis))
            if factor:
                return factor, [(value, axis)]
        for i, (value, axis) in enumerate(inputs):
            for other, other_axis in inputs[i + 1:]:
                both = tuple(a * b for a, b in zip(self.vector(value, axis), self.vector(other, other_axis),
                                                   strict=True))
                factor = _ratio(wanted, both)
                if factor:
                    return factor, [(value, axis), (other, other_axis)]
        for value, axis in self._inner(before):
            if self.vector(value, axis) == wanted:
                return 1, [(value, axis)]
        return None

    def _inner(self, before: ir.Node) -> Iterator[tuple[ir.Value, int]]:
        for node in self.recording.graph:
            if node is before:
                return
            for value in node.outputs:
                if value in self.shapes:
                    yield from ((value, axis) for axis in range(len(self.shapes[value])))


def _ratio(wanted: Vector, sizes: Vector) -> int | None:
    """The whole number that the sizes are multiplied by; None if there is none."""
    if not sizes[0] or wanted[0] % sizes[0] or wanted[0] < sizes[0]:
        return None
    factor = wanted[0] // sizes[0]
    return factor if all(w == factor * s for w, s in zip(wanted, sizes, strict=True)) else None


class Builder:
    """Inserts nodes that compute sizes before a node that needs them."""

    def __init__(self, sizes: Sizes, before: ir.Node) -> None:
        self.sizes, self.before, self.recording = sizes, before, sizes.recording

    def node(self, op: str, *inputs: Any, **attributes: Any) -> ir.Value:
        """One more node; its output."""
        graph = self.recording.graph
        values = [each if isinstance(each, ir.Value) else self.constant(np.asarray(each)) for each in inputs]
        name = self.recording.unique(f"size.{op.lower()}")
        made = ir.Node("", op, values, ir.convenience.convert_attributes(attributes), name=name,
                       outputs=[ir.Value(name=name)])
        graph.insert_before(self.before, made)
        return made.outputs[0]

    def constant(self, array: Array) -> ir.Value:
        """A new constant."""
        name = self.recording.unique("size.constant")
        value = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=ir.tensor(array, name=name),
                         type=ir.TensorType(ir.DataType.from_numpy(array.dtype)))
        self.recording.graph.register_initializer(value)
        return value

    def entry(self, wanted: Vector, place: str) -> Any:
        """int64 [1] of a number that follows sizes; an array if it does not."""
        if len(set(wanted)) == 1:
            return np.array([wanted[0]], np.int64)
        found = self.sizes.source(wanted, self.before)
        if found is None:
            raise Unexplained(place, _first_other(wanted))
        factor, axes = found
        made: Any = None
        for value, axis in axes:
            size = self.node("Shape", value, start=axis, end=axis + 1)
            made = size if made is None else self.node("Mul", made, size)
        return made if factor == 1 else self.node("Mul", made, np.array([factor], np.int64))

    def entries(self, wanted: Sequence[Vector], place: str) -> ir.Value:
        """int64 [n] of numbers that follow sizes."""
        made = [self.entry(each, place) for each in wanted]
        return made[0] if len(made) == 1 else self.node("Concat", *made, axis=0)


def _first_other(values: Sequence[Any]) -> int:
    return next(i for i, value in enumerate(values) if value != values[0])


def make_symbolic(runs: Sequence[Run]) -> Sizes:
    """Replaces constants of the first run that differ in other runs by nodes that compute them. Raises Unexplained."""
    sizes = Sizes(runs)
    lists = [list(run.recording.constants) for run in runs]
    for number in changed_constants(runs):
        values = [values[number] for values in lists]
        arrays = [run.recording.arrays[value] for run, value in zip(runs, values, strict=True)]
        for use in list(values[0].uses()):
            computed = _computed(Builder(sizes, use.node), use, arrays, runs[0].recording.constants[values[0]])
            use.node.replace_input_with(use.idx, computed)
    return sizes


def _computed(builder: Builder, use: Any, arrays: list[Array], place: str) -> ir.Value:
    first = arrays[0]
    same_shape = all(each.shape == first.shape for each in arrays)
    if same_shape and first.dtype == np.int64 and first.ndim == 1:
        entries: list[Vector] = [tuple(int(each[i]) for each in arrays) for i in range(len(first))]
        if use.node.op_type == "Reshape":
            entries = _simplest(builder.sizes, use.node, entries)
            if all(len(set(entry)) == 1 for entry in entries):
                return builder.constant(np.array([entry[0] for entry in entries], np.int64))
        return builder.entries(entries, place)
    if same_shape and first.size == 1 and all(float(each.reshape(())) == int(each.reshape(())) for each in arrays):
        made = builder.entry(tuple(int(each.reshape(())) for each in arrays), place)
        made = builder.node("Reshape", made, np.array(first.shape, np.int64))
        return builder.node("Cast", made, to=ir.DataType.from_numpy(first.dtype).value)
    if not same_shape and all(each.ndim == first.ndim for each in arrays):
        return _of_other_shapes(builder, arrays, place)
    raise Unexplained(place, _first_other([each.tobytes() for each in arrays]))


def _simplest(sizes: Sizes, node: ir.Node, entries: list[Vector]) -> list[Vector]:
    """The shape of a Reshape with 0 for a size that is the input's own, and -1 for one more."""
    value, found = node.inputs[0], list(entries)
    assert value is not None
    rank, runs = len(sizes.shapes[value]), len(entries[0])
    for i, entry in enumerate(entries):
        if len(set(entry)) > 1 and i < rank and sizes.vector(value, i) == entry:
            found[i] = (0,) * runs
    varying = [i for i, entry in enumerate(found) if len(set(entry)) > 1]
    if len(varying) == 1 and (-1,) * runs not in found:
        found[varying[0]] = (-1,) * runs
    return found


def _of_other_shapes(builder: Builder, arrays: list[Array], place: str) -> ir.Value:
    """An array that is constant along the axes that change, or counts up from 0."""
    first = arrays[0]
    shapes: list[Vector] = list(zip(*(each.shape for each in arrays), strict=True))
    cut = tuple(slice(0, 1) if len(set(sizes)) > 1 else slice(None) for sizes in shapes)
    part = first[cut]
    if all(np.array_equal(np.broadcast_to(part, each.shape), each, equal_nan=part.dtype.kind == "f")
           for each in arrays):
        return builder.node("Expand", np.ascontiguousarray(part), builder.entries(shapes, place))
    if first.ndim == 1 and all(np.array_equal(each, np.arange(len(each))) for each in arrays):
        end = builder.node("Cast", builder.entry(shapes[0], place), to=ir.DataType.from_numpy(first.dtype).value)
        end = builder.node("Reshape", end, np.zeros(0, np.int64))
        return builder.node("Range", np.zeros((), first.dtype), end, np.ones((), first.dtype))
    made = _cut(builder, arrays, shapes, place) or _triangle(builder, arrays, place)
    if made is None:
        raise Unexplained(place, _first_other([each.shape for each in arrays]))
    return made


def _cut(builder: Builder, arrays: list[Array], shapes: list[Vector], place: str) -> ir.Value | None:
    """A prefix of a parameter, such as a table of positions."""
    recording = builder.recording
    for array in recording.parameters.values():
        if array.ndim != len(shapes) or not all(
                all(n <= m for n, m in zip(each.shape, array.shape, strict=True)) and
                np.array_equal(array[tuple(map(slice, each.shape))], each) for each in arrays):
            continue
        axes = [axis for axis, sizes in enumerate(shapes) if len(set(sizes)) > 1]
        ends = builder.entries([shapes[axis] for axis in axes], place)
        return builder.node("Slice", recording.value(array), np.zeros(len(axes), np.int64), ends,
                            np.array(axes, np.int64))
    return None


def _triangle(builder: Builder, arrays: list[Array], place: str) -> ir.Value | None:
    """One value on and above a diagonal of the last two axes and another below it, as in a causal mask."""
    first = arrays[0]
    if first.ndim < 2 or set(first.shape[:-2]) - {1} or any(each.shape[-1] != each.shape[-2] for each in arrays):
        return None
    above, below = first[..., :1, -1:].reshape(()), first[..., -1:, :1].reshape(())
    for k in (-1, 0, 1):
        if all(np.array_equal(np.where(np.tri(each.shape[-1], k=k - 1, dtype=bool), below, above),
                              each.reshape(each.shape[-2:])) for each in arrays):
            size = builder.entry(tuple(each.shape[-1] for each in arrays), place)
            end = builder.node("Reshape", size, np.zeros(0, np.int64))
            places = builder.node("Range", np.array(0, np.int64), end, np.array(1, np.int64))
            apart = builder.node("Sub", places, builder.node("Unsqueeze", places, np.array([1], np.int64)))
            made = builder.node("Where", builder.node("GreaterOrEqual", apart, np.array(k, np.int64)), above, below)
            outer = first.ndim - 2
            return builder.node("Unsqueeze", made, np.arange(outer)) if outer else made
    return None



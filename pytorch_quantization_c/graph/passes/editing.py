"""Small edits of an onnx_ir graph that all passes need: reading and setting constants, removing nodes."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..representation.constants import new_constant
from ..representation.naming import free_node_name, free_value_name


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of an initialiser or a Constant node; None for anything that the model's caller can change."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def floats(value: ir.Value | None) -> NDArray[np.float32] | None:
    """A constant of float32; None for other values."""
    array = constant(value)
    return array if array is not None and array.dtype == np.float32 else None


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element; None for other values."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 and array.dtype.kind in "fiu" else None


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether the node is one of these operators of the ONNX standard."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """The value of an attribute, or the operator's default."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def reduced_axes(node: ir.Node) -> list[int] | None:
    """The axes that a Reduce... goes over; None for all of them, or if they are not known."""
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes", None)
    return None if axes is None else [int(axis) for axis in np.ravel(axes)]


def read_once(value: ir.Value) -> bool:
    """Whether one node alone reads the value, through one input, and the model's caller does not."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads the value, in the same graph; None if there are more readers or it is an output."""
    if not read_once(value):
        return None
    reader = next(iter(value.uses())).node
    producer = value.producer()
    return reader if producer is None or reader.graph is producer.graph else None


def rank(value: ir.Value | None) -> int | None:
    """Number of axes, where it is known."""
    return None if value is None or value.shape is None else value.shape.rank()


def same_shape(a: ir.Value, b: ir.Value) -> bool:
    """Whether both shapes are known and equal, names of axes included.

    Names that a file gives to the axes of the model's outputs are what its user said, and may be wrong.
    """
    named = [value for value in (a, b) if value.is_graph_output() and value.producer() is not None]
    if any(value.shape is None or not value.shape.is_static() for value in named):
        return False
    return a.shape is not None and b.shape is not None and not a.shape.has_unknown_dim() and a.shape == b.shape


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that a node is in."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"Expected the node {node.name!r} to be in a graph")
    return graph


def set_constant(node: ir.Node, index: int, array: NDArray[Any], suffix: str = "folded") -> None:
    """Gives a node its own constant as input `index`; other readers of the old one are unaffected."""
    while len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    old = node.inputs[index]
    like = f"{node.name}_{suffix}" if old is None or old.name is None else \
        old.name if old.name.endswith(f"_{suffix}") else f"{old.name}_{suffix}"
    own = np.ascontiguousarray(array) if array.ndim else array
    node.replace_input_with(index, new_constant(graph_of(node), own, like))


def replace_value(old: ir.Value, new: ir.Value) -> bool:
    """All readers of `old` read `new`; False if the model's interface does not let them.

    An output of the model keeps its name: it goes over to `new`, unless that has a name that the caller sees.
    """
    if old.is_graph_output():
        if new.is_graph_output() or new.is_graph_input() or new.producer() is None or new.graph is not old.graph:
            return False
        name = old.name
        old.name = f"{name}_replaced"
        new.name = name
        new.shape, new.type = new.shape or old.shape, new.type or old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    return True


def bypass(node: ir.Node, value: ir.Value) -> bool:
    """Removes a node: `value` replaces its first output. False if the model's interface needs the node."""
    if not replace_value(node.outputs[0], value):
        return False
    graph_of(node).remove(node, safe=True)
    return True


def substitute(old: ir.Node, new: ir.Node) -> None:
    """Replaces `old` by `new`, keeping its name and that of its first output."""
    graph = graph_of(old)
    graph.insert_before(old, new)
    before, after = old.outputs[0], new.outputs[0]
    after.shape, after.type, name = before.shape, before.type, before.name
    before.name = f"{name}_replaced"
    ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    after.name = name


def add_to_output(node: ir.Node, amount: ir.Value, name: str, before: str) -> None:
    """Makes a node's output its sum with `amount`: all readers get the sum, which takes over the output's name.

    Args:
        name: of the Add, if it is free.
        before: what the name of the output without `amount` ends in.
    """
    graph, out = graph_of(node), node.outputs[0]
    total = ir.node("Add", [out, amount], name=free_node_name(graph, name))
    after = total.outputs[0]
    after.shape, after.type = out.shape, out.type
    after.name, out.name = out.name, free_value_name(graph, f"{out.name}.{before}")
    ir.convenience.replace_all_uses_with(out, after, replace_graph_outputs=True)
    total.replace_input_with(0, out)
    graph.insert_after(node, total)

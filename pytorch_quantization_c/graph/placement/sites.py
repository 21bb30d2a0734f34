"""Where quantisers go: at the inputs of layers that run on integers, and nowhere else.

A quantiser moves up through nodes that only move data, as far as all readers of the value agree, so that it is applied
once. Residuals, which only Adds and layers read, are kept as integers as well. See `targets` for what runtimes want.
"""
from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import onnx_ir as ir

from ..passes.editing import attribute, constant, floats, is_op, scalar
from ..passes.layers import RECURRENT, Layer, layer_of

Use = tuple[ir.Node, int]
Demands = dict[ir.Value, dict[tuple[object, str], list[Use]]]     # by value, by (key, group)

MOVING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "DepthToSpace", "SpaceToDepth",
          "Expand", "Tile", "MaxPool")
PARTS = ("Slice", "Split", "Gather")    # of a value; what is quantised ahead of them is all of it


@dataclass
class Site:
    """A value to quantise for some of its readers.

    Attributes:
        value: what is quantised.
        uses: the readers, as (node, number of the input).
        group: sites with the same group share one range; "" for a range of its own.
        kind: "input" or "residual".
        owner: the layer whose descriptors count; of a residual its Add.
    """

    value: ir.Value
    uses: list[Use]
    group: str
    kind: str
    owner: ir.Node


def layers_of(model: ir.Model) -> list[ir.Node]:
    """The nodes that could run on integers: products with a constant, LSTM and GRU, of the main graph."""
    return [node for node in model.graph if layer_of(node) or is_recurrent(node)]


def is_spectral(node: ir.Node) -> bool:
    """Whether a layer's output is only squared and summed: the real and imaginary parts of a spectrum.

    Its quiet bins are far below the loudest one and count as much once a logarithm or a root is taken, so they do not
    survive integers. Moving data between the layer and the squares does not matter.
    """
    left = [node.outputs[0]]
    while left:
        value = left.pop()
        if not value.uses() or value.is_graph_output():
            return False
        for use in value.uses():
            if is_op(use.node, "Slice", *MOVING):
                left.append(use.node.outputs[0])
            elif not is_square(use.node):
                return False
    return True


def reads_spectrum(node: ir.Node) -> bool:
    """Whether a layer reads magnitudes or powers of a spectrum, sums of two squares, possibly moved.

    One range for all of them leaves the quiet ones, which are most and decide as much, a few codes.
    """
    value = node.inputs[0] if node.inputs else None
    source = None if value is None else value.producer()
    while source is not None and (is_op(source, "Sqrt") or moves(source)):
        value = source.inputs[0]
        source = None if value is None else value.producer()
    return source is not None and is_op(source, "Add") and all(
        (square := None if each is None else each.producer()) is not None and is_square(square)
        for each in source.inputs)


def is_square(node: ir.Node) -> bool:
    """Whether the node squares, and an Add, a root or a logarithm follows."""
    squares = is_op(node, "Pow") and scalar(node.inputs[1]) == 2 or \
        is_op(node, "Mul") and node.inputs[0] is node.inputs[1]
    return squares and all(is_op(use.node, "Add", "Sqrt", "Log") for use in node.outputs[0].uses())


def is_recurrent(node: ir.Node) -> bool:
    """Whether the node is an LSTM or GRU on constants of float32."""
    return is_op(node, *RECURRENT) and all(floats(value) is not None for value in node.inputs[1:3])


def weights_of(node: ir.Node) -> list[tuple[int, int]]:
    """Inputs of a layer that are weights, with the axis of their output channels."""
    layer = layer_of(node)
    return [(1, layer.out_axis)] if isinstance(layer, Layer) else [(1, 1), (2, 1)]


def input_sites(model: ir.Model, readers: dict[ir.Node, list[int]], key: Callable[[ir.Node], object]) -> list[Site]:
    """One site for each value that integers are made of, moved up.

    Args:
        readers: the nodes that read integers, and through which inputs.
        key: says which readers want the same quantiser.
    """
    demands: Demands = {}
    for node in reversed(tuple(model.graph)):
        for index in readers.get(node, ()):
            value = node.inputs[index]
            if value is not None:
                _demand(demands, value, key(node), "", (node, index))
        if node not in readers and moves(node):
            _move_up(demands, node)
    _move_back(demands)
    return [Site(value, uses[::-1], group, "input", _owner(uses[-1][0], readers))
            for value, found in demands.items() for (_, group), uses in found.items()][::-1]


def adds_and(model: ir.Model, op_types: tuple[str, ...]) -> dict[ir.Node, list[int]]:
    """Adds of two values of one shape, and nodes of these operators, with the inputs that are to be integers."""
    found = {node: [0, 1] for node in model.graph if _adds_two(node)}
    found.update({node: [0] for node in model.graph if is_op(node, *op_types)})
    return found


def _adds_two(node: ir.Node) -> bool:
    if not is_op(node, "Add"):
        return False
    a, b = node.inputs
    return (a is not None and b is not None and a is not b and a.shape is not None and b.shape is not None
            and a.shape == b.shape and a.dtype == ir.DataType.FLOAT and constant(a) is None and constant(b) is None)


def _demand(demands: Demands, value: ir.Value, key: object, group: str, use: Use) -> None:
    demands.setdefault(value, {}).setdefault((key, group), []).append(use)


def _owner(node: ir.Node, layers: Container[ir.Node]) -> ir.Node:
    """The first layer behind a reader."""
    while node not in layers:
        node = next(use.node for value in node.outputs for use in value.uses())
    return node


def moves(node: ir.Node) -> bool:
    """Whether the node moves numbers without changing them, so that it commutes with a quantiser."""
    if is_op(node, "Resize"):
        return bool(attribute(node, "mode", "nearest") == "nearest")
    if is_op(node, "Pad"):
        value = node.inputs[2] if len(node.inputs) > 2 else None
        return value is None or attribute(node, "mode", "constant") != "constant" or scalar(value) == 0
    return is_op(node, "Concat", *MOVING, *PARTS)


def _data_inputs(node: ir.Node) -> list[int]:
    return list(range(len(node.inputs))) if node.op_type == "Concat" else [0]


def _move_up(demands: Demands, node: ir.Node) -> None:
    """If all readers of a moved value want the same quantiser, the node's inputs are quantised instead."""
    read = [value for value in node.outputs if value.uses() or value.is_graph_output()]
    wanted = {_agreed(demands, value) for value in read}
    agreed = wanted.pop() if len(wanted) == 1 else None
    if agreed is None or (len(read) > 1 and not is_op(node, "Split")):
        return
    key, group = agreed
    values = [node.inputs[index] for index in _data_inputs(node)]
    if any(value is None or value.dtype not in (None, ir.DataType.FLOAT) or constant(value) is not None
           for value in values):
        return
    if is_op(node, "Slice", "Gather") and values[0] is not None and len(values[0].uses()) == 1:
        return  # nobody to share with, and the range of the part may be smaller
    if len(values) > 1:
        group = group or f"{node.name}.inputs"
    for value in read:
        del demands[value]
    for index, source in zip(_data_inputs(node), values, strict=True):
        assert source is not None
        _demand(demands, source, key, group, (node, index))


def _agreed(demands: Demands, value: ir.Value) -> tuple[object, str] | None:
    """The one quantiser that all readers of a value want."""
    found = demands.get(value, {})
    if len(found) != 1 or value.is_graph_output():
        return None
    (wanted, uses), = found.items()
    return wanted if len(uses) == len(value.uses()) else None


def _move_back(demands: Demands) -> None:
    """Where a value has other readers too, quantises only the parts that become integers."""
    for value in list(demands):
        if _agreed(demands, value) is not None:
            continue
        for (key, group), uses in list(demands[value].items()):
            kept = [use for use in uses if not is_op(use[0], *PARTS)]
            for node, _ in (use for use in uses if is_op(use[0], *PARTS)):
                for out in node.outputs:
                    for use in out.uses():
                        _demand(demands, out, key, group, (use.node, use.idx))
            demands[value].pop((key, group))
            if kept:
                demands[value][key, group] = kept
        if not demands[value]:
            del demands[value]


def residual_sites(model: ir.Model, layers: list[ir.Node]) -> list[Site]:
    """One operand of each Add of two values that only Adds and layers read: the one that is there first."""
    inside, order = set(layers), {node: number for number, node in enumerate(model.graph)}
    sites: dict[ir.Value, Site] = {}
    for node in model.graph:
        index = _residual(node, inside, order)
        value = None if index is None else node.inputs[index]
        if index is None or value is None:
            continue
        if value in sites:
            sites[value].uses.append((node, index))
        else:
            sites[value] = Site(value, [(node, index)], "", "residual", node)
    return list(sites.values())


def _residual(node: ir.Node, layers: set[ir.Node], order: dict[ir.Node, int]) -> int | None:
    """Which input of the node is a residual; None if there is none."""
    if not _adds_two(node):
        return None
    found = [index for index, value in enumerate(node.inputs) if _is_kept(value, layers)]

    def age(index: int) -> tuple[bool, int]:
        value = node.inputs[index]
        assert value is not None
        producer = value.producer()
        return len(value.uses()) == 1, -1 if producer is None else order.get(producer, -1)
    return min(found, key=age, default=None)


def _is_kept(value: ir.Value | None, layers: set[ir.Node]) -> bool:
    """Whether a value is computed in floats and read by Adds and layers only, and is a layer's or somebody else's too.

    What one Add alone reads is no residual unless a layer makes it: a sum of squares has a range too wide for integers.
    """
    if value is None or (len(value.uses()) == 1 and value.producer() not in layers):
        return False
    readers = [use.node for use in value.uses()]
    return (value.producer() is not None and not value.is_graph_output() and value.dtype == ir.DataType.FLOAT
            and all(is_op(reader, "Add") or reader in layers for reader in readers))

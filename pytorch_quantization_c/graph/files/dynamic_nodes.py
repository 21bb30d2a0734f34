"""Dynamic quantisers written as standard operators."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..errors import GraphError
from ..nodes import Quantizer
from ..representation.coding import METADATA, code_type, noted
from ..representation.constants import new_constant
from ..representation.naming import free_node_name, free_value_name

__all__ = ["dynamic_nodes"]

TINY = 2.0 ** -24  # an amax up to this gives zeros


AXES_AS_INPUT = 18    # the opset that brought them to ReduceMax


class _Nodes:
    """Puts the nodes of one quantiser ahead of it."""

    def __init__(self, graph: ir.Graph, found: Quantizer, opset: int) -> None:
        self.graph, self.found, self.opset = graph, found, opset

    def add(self, op_type: str, inputs: Sequence[ir.Value], name: str, attributes: Any = (),
            outputs: int = 1) -> ir.Node:
        """A node, whose values are named after the quantiser and `name`."""
        free = free_node_name(self.graph, f"{self.found.name}.{name}")
        node = ir.Node("", op_type, inputs, attributes, num_outputs=outputs, name=free)
        for number, value in enumerate(node.outputs):
            value.name = free_value_name(self.graph, f"{self.found.name}.{name}.y{number or ''}")
        self.graph.insert_before(self.found.node, node)
        return node

    def constant(self, array: Any, name: str, kind: ir.DataType | None = None) -> ir.Value:
        """A constant of the quantiser's."""
        tensor = array if kind is None else ir.tensor(array, dtype=kind)
        return new_constant(self.graph, tensor, f"{self.found.name}.{name}")

    def reduced(self, op_type: str, x: ir.Value, name: str) -> ir.Value:
        """The reduction of an array to one number, or one for each index of the quantiser's axis."""
        attributes, inputs, axis = [ir.AttrInt64("keepdims", 0)], [x], self.found.spec.axis
        if axis is not None:
            axes = self._others(axis)
            if self.opset >= AXES_AS_INPUT:
                inputs.append(self.constant(np.array(axes, np.int64), f"{name}.axes"))
            else:
                attributes.append(ir.AttrInt64s("axes", axes))
        return self.add(op_type, inputs, name, attributes).outputs[0]

    def _others(self, axis: int) -> list[int]:
        shape = self.found.input.shape
        if shape is None:
            raise GraphError(f"Expected a known number of dimensions of {self.found.input.name!r}, which quantiser "
                             f"{self.found.name!r} has a range for each index of axis {axis} of, got none")
        return [i for i in range(len(shape)) if i != axis % len(shape)]

    def coded(self, scale: ir.Value, zero: ir.Value) -> ir.Node:
        """The quantisation with that scale and back."""
        found, axis = self.found, self.found.spec.axis
        attributes = () if axis is None else (ir.AttrInt64("axis", axis),)
        quantize = self.add("QuantizeLinear", [found.input, scale, zero], "quantize", attributes)
        quantize.metadata_props[METADATA] = noted(found.name, found.spec, None)
        return self.add("DequantizeLinear", [quantize.outputs[0], scale, zero], "dequantize", attributes)


def dynamic_nodes(graph: ir.Graph, found: Quantizer, opset: int) -> ir.Node:
    """The nodes in the place of a dynamic quantiser, put ahead of it; the last of them.

    One from min to max of 8 bits is DynamicQuantizeLinear; the range of another is computed, of all elements or for
    each index of the axis.

    Raises:
        GraphError: ranges of blocks, or of an axis of an array whose number of dimensions is not known.
    """
    nodes, spec = _Nodes(graph, found, opset), found.spec
    if spec.block is not None:
        raise GraphError(f"Expected quantisers of activations that QuantizeLinear can be, got {found.name!r}, which "
                         f"finds a range for each block of {spec.block}")
    if spec.two_sided and spec.bits == 8:
        codes = nodes.add("DynamicQuantizeLinear", [found.input], "quantize", outputs=3)
        codes.metadata_props[METADATA] = noted(found.name, spec, None)
        return nodes.add("DequantizeLinear", codes.outputs, "dequantize")
    return _from_ends(nodes) if spec.two_sided else _from_magnitude(nodes)


def _scale(nodes: _Nodes, amax: ir.Value) -> ir.Value:
    least = nodes.constant(np.array(TINY, np.float32), "least")
    bound = nodes.constant(np.array(nodes.found.spec.bound, np.float32), "bound")
    kept = nodes.add("Max", [amax, least], "range").outputs[0]
    return nodes.add("Div", [kept, bound], "scale").outputs[0]


def _from_magnitude(nodes: _Nodes) -> ir.Node:
    spec, kind = nodes.found.spec, code_type(nodes.found.spec)
    magnitude = nodes.add("Abs", [nodes.found.input], "magnitude").outputs[0]
    scale = _scale(nodes, nodes.reduced("ReduceMax", magnitude, "amax"))
    point = np.asarray(spec.zero_point or 0)
    if spec.axis is None or point.ndim:
        return nodes.coded(scale, nodes.constant(point.astype(kind.numpy()), "zero_point", kind))
    ranges = nodes.add("Shape", [scale], "ranges").outputs[0]
    same = nodes.constant(point.astype(np.float32), "zero_point.one")  # Expand takes no integers of 4 bits
    many = nodes.add("Expand", [same, ranges], "zero_point.each").outputs[0]
    return nodes.coded(scale, nodes.add("Cast", [many], "zero_point", [ir.AttrInt64("to", kind)]).outputs[0])


def _from_ends(nodes: _Nodes) -> ir.Node:
    """From min(x, 0) to max(x, 0), with the zero point that follows."""
    found, none = nodes.found, nodes.constant(np.zeros((), np.float32), "zero")
    start = nodes.add("Min", [nodes.reduced("ReduceMin", found.input, "min"), none], "start").outputs[0]
    end = nodes.add("Max", [nodes.reduced("ReduceMax", found.input, "max"), none], "end").outputs[0]
    scale = _scale(nodes, nodes.add("Sub", [end, start], "width").outputs[0])
    steps = nodes.add("Div", [start, scale], "start.steps").outputs[0]
    distance = nodes.add("Neg", [steps], "distance").outputs[0]
    point = nodes.add("Round", [distance], "zero_point.rounded").outputs[0]
    kind = ir.AttrInt64("to", code_type(found.spec))
    return nodes.coded(scale, nodes.add("Cast", [point], "zero_point", [kind]).outputs[0])

"""QuantizeLinear and DequantizeLinear into quantisers."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..nodes import declare, fake_quant
from ..representation.coding import METADATA, Coding, coding_of, nearest_coding, note_of, trusted
from ..representation.constants import constant_of, new_constant
from ..representation.naming import free_node_name, free_value_name

__all__ = ["import_qdq"]

DOMAINS = ("", "ai.onnx", "com.microsoft", "trt")
QUANTIZE = ("QuantizeLinear", "TRT_FP8QuantizeLinear", "TRT_INT4QuantizeLinear")
DEQUANTIZE = ("DequantizeLinear", "TRT_FP8DequantizeLinear", "TRT_INT4DequantizeLinear")
BIAS = (ir.DataType.INT32, ir.DataType.INT64)
TRT = {"TRT_FP8QuantizeLinear": ir.DataType.FLOAT8E4M3FN, "TRT_FP8DequantizeLinear": ir.DataType.FLOAT8E4M3FN,
       "TRT_INT4QuantizeLinear": ir.DataType.INT4, "TRT_INT4DequantizeLinear": ir.DataType.INT4}
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "PRelu", "LayerNormalization",
              "InstanceNormalization", "GroupNormalization", "BatchNormalization")
MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Gather", "Expand",
         "DepthToSpace", "SpaceToDepth", "Identity")


class Constants(NamedTuple):
    """The constant scale and zero point of a node, and how its codes lie."""

    scale: NDArray[Any]
    zero: NDArray[Any] | None
    kind: ir.DataType
    axis: int
    block: int

    @property
    def coding(self) -> Coding | None:
        """As a quantiser of ours."""
        return coding_of(self.scale, self.zero, self.kind, self.axis, self.block)

    def same(self, other: Constants) -> bool:
        """Whether two nodes are each other's inverse."""
        ours, theirs = (0 if each.zero is None else each.zero.astype(np.float32) for each in (self, other))
        axes = self.scale.size == 1 or (self.axis, self.block) == (other.axis, other.block)
        return self.kind == other.kind and axes and np.array_equal(self.scale, other.scale) and \
            not np.any(np.subtract(ours, theirs))


def is_quantize(node: ir.Node | None) -> bool:
    """Whether a node makes codes of numbers."""
    return node is not None and node.op_type in QUANTIZE and node.domain in DOMAINS


def is_dequantize(node: ir.Node | None) -> bool:
    """Whether a node makes numbers of codes."""
    return node is not None and node.op_type in DEQUANTIZE and node.domain in DOMAINS


def constants(node: ir.Node) -> Constants | None:
    """The constant scale and zero point of a node of either kind; None if either is computed."""
    scale = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    point = node.inputs[2] if len(node.inputs) > 2 else None
    zero, code = constant_of(point), node.inputs[0]
    if scale is None or (point is not None and zero is None):
        return None
    kind = TRT.get(node.op_type) or (None if point is None else point.dtype)
    if kind is None and "output_dtype" in node.attributes and node.attributes["output_dtype"].as_int():
        kind = ir.DataType(node.attributes["output_dtype"].as_int())
    if kind is None and is_dequantize(node) and code is not None:
        producer = code.producer()
        kind = code.dtype if code.dtype is not None else None
        if kind is None and producer is not None and is_quantize(producer):
            made = constants(producer)
            kind = None if made is None else made.kind
    axis, block = (node.attributes[name].as_int() if name in node.attributes else default
                   for name, default in (("axis", 1), ("block_size", 0)))
    return Constants(np.asarray(scale), zero, kind or ir.DataType.UINT8, axis, block)


def _replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Everything that reads `old` reads `new`; a graph's output keeps its name."""
    if old.is_graph_output():
        node = old.producer()
        assert node is not None
        free = free_node_name(graph, f"{node.name}.output")
        identity = ir.Node("", "Identity", [new], name=free, num_outputs=1)
        output = identity.outputs[0]
        graph.insert_before(node, identity)
        output.name, output.type, output.shape, old.name = old.name, old.type, old.shape, f"{old.name}.replaced"
        ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=True)
    else:
        ir.convenience.replace_all_uses_with(old, new)


class _Importer:
    def __init__(self, model: ir.Model) -> None:
        self.model, self.graph = model, model.graph
        self.floats: dict[tuple[Any, ...], ir.Value] = {}

    def quantiser(self, node: ir.Node, x: ir.Value, coding: Coding, scale: NDArray[Any]) -> ir.Node:
        """A quantiser in the place of `node`, ahead of it."""
        note = note_of(node.metadata_props.get(METADATA))
        spec, amax = nearest_coding(coding, scale) if note is None else trusted(note, coding, scale)
        name = node.name or "" if note is None else note.name
        made = fake_quant(self.graph, x, amax, spec, self._free(name, node))
        self.graph.insert_before(node, made)
        declare(self.model)
        return made

    def _free(self, name: str, node: ir.Node) -> str:
        """`name`, or a variant of it that no node has except the one replaced."""
        return name if name == node.name else free_node_name(self.graph, name)

    def pair(self, node: ir.Node) -> None:
        """A QuantizeLinear and the DequantizeLinear nodes that read it."""
        x = node.inputs[0]
        note = note_of(node.metadata_props.get(METADATA))
        readers = [use.node for use in node.outputs[0].uses() if is_dequantize(use.node) and use.idx == 0]
        if note is not None and note.amax is None and x is not None:
            self._dynamic(node, readers, note.spec, note.name)
            return
        own = constants(node) if is_quantize(node) else None
        coding = None if own is None else own.coding
        if own is None or coding is None or x is None:
            return
        inverse = [each for each in readers if (theirs := constants(each)) is not None and own.same(theirs)]
        if not inverse:
            return
        made = self.quantiser(node, x, coding, own.scale)
        self._put(node, inverse, made)

    def _dynamic(self, node: ir.Node, readers: list[ir.Node], spec: Any, name: str) -> None:
        x = node.inputs[0]
        assert x is not None
        made = fake_quant(self.graph, x, None, spec, self._free(name, node))
        self.graph.insert_before(node, made)
        declare(self.model)
        self._put(node, readers, made)

    def _put(self, node: ir.Node, inverse: list[ir.Node], made: ir.Node) -> None:
        first = inverse[0].outputs[0]
        made.outputs[0].type, made.outputs[0].shape = first.type, first.shape
        for each in inverse:
            _replace(self.graph, each.outputs[0], made.outputs[0])
            self.graph.remove(each, safe=True)
        if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            self.graph.remove(node, safe=True)

    def weight(self, node: ir.Node) -> None:
        """A DequantizeLinear of constant codes: a quantised constant, or of 32 bits a plain one."""
        codes, own = constant_of(node.inputs[0]), constants(node)
        if codes is None or own is None:
            return
        kind = node.inputs[0].dtype if node.inputs[0] is not None else None
        own = own._replace(kind=TRT.get(node.op_type) or kind or own.kind)
        values = _dequantized(codes, own)
        if values is None:
            return
        name = node.outputs[0].name or ""
        if own.kind in BIAS or (METADATA not in node.metadata_props and _is_for_floats(node.outputs[0])):
            self._plain(node, values, name)
            return
        coding = own.coding
        if coding is None:
            return
        key = (node.inputs[0], own.scale.tobytes(), None if own.zero is None else own.zero.tobytes(), own.axis)
        if key not in self.floats:
            base = node.inputs[0].name if node.inputs[0] is not None else None
            self.floats[key] = new_constant(self.graph, values, f"{base}.float")
        made = self.quantiser(node, self.floats[key], coding, own.scale)
        made.outputs[0].type, made.outputs[0].shape = self.floats[key].type, self.floats[key].shape
        _replace(self.graph, node.outputs[0], made.outputs[0])
        self.graph.remove(node, safe=True)

    def _plain(self, node: ir.Node, values: NDArray[Any], name: str) -> None:
        if node.outputs[0].is_graph_output():
            return
        node.outputs[0].name = f"{name}.replaced"
        _replace(self.graph, node.outputs[0], new_constant(self.graph, values, name))
        self.graph.remove(node, safe=True)


def _is_for_floats(value: ir.Value) -> bool:
    """Whether a constant is an operand of arithmetic between floats alone: as such it has the file's values to the bit,
    which decides sums that lie half way between two codes."""
    readers = [use.node for use in value.uses()]
    return bool(readers) and all(node.op_type in ARITHMETIC and node.domain == "" for node in readers)


def _dequantized(codes: NDArray[Any], own: Constants) -> NDArray[np.float32] | None:
    """(code - zero) * scale in float32; None if shapes do not fit."""
    try:
        scale, zero = (_spread(each, codes, own) for each in (own.scale, own.zero))
        values = codes.astype(np.float32 if own.kind not in BIAS else np.float64)
        values = values if zero is None else values - zero.astype(values.dtype)
        result: NDArray[np.float32] = (values * np.asarray(scale, values.dtype)).astype(np.float32)
        return result
    except (ValueError, IndexError, TypeError):
        return None


def _spread(each: NDArray[Any] | None, codes: NDArray[Any], own: Constants) -> NDArray[Any] | None:
    if each is None or each.size == 1:
        return None if each is None else each.reshape(())
    axis = own.axis % codes.ndim
    if own.block:
        return np.repeat(each, own.block, axis)[(slice(None),) * axis + (slice(codes.shape[axis]),)]
    return each.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])


def _readers_to_lift(move: ir.Node) -> list[ir.Node]:
    """The DequantizeLinear nodes that read codes which `move` only moves; none unless all that read them agree."""
    if move.op_type not in MOVES or move.domain != "" or len(move.outputs) != 1 or move.outputs[0].is_graph_output():
        return []
    readers = [use.node for use in move.outputs[0].uses()]
    found = [constants(reader) if is_dequantize(reader) else None for reader in readers]
    first = found[0] if found else None
    if first is None or first.scale.size != 1 or not all(each is not None and first.same(each) for each in found):
        return []
    return readers


def _lift(graph: ir.Graph) -> None:
    """Moves DequantizeLinear ahead of what only moves codes, so that it meets their QuantizeLinear."""
    for move in reversed(list(graph)):
        readers, source = _readers_to_lift(move), move.inputs[0] if move.inputs else None
        if not readers or source is None:
            continue
        first = readers[0]
        ahead = ir.Node(first.domain, first.op_type, [source, *first.inputs[1:]], dict(first.attributes),
                        num_outputs=1, name=first.name, metadata_props=dict(first.metadata_props))
        ahead.outputs[0].name, moved = free_value_name(graph, f"{move.name}.input"), move.outputs[0]
        ahead.outputs[0].type, ahead.outputs[0].shape = first.outputs[0].type, source.shape
        graph.insert_before(move, ahead)
        move.replace_input_with(0, ahead.outputs[0])
        moved.type, name = first.outputs[0].type, moved.name
        for reader in readers:
            _replace(graph, reader.outputs[0], moved)
            graph.remove(reader, safe=True)
        moved.name = free_value_name(graph, f"{name}.float")


def _narrow(graph: ir.Graph) -> None:
    """Constant codes of 8 bits that a DequantizeLinear reads as integers of 32 bits are read as they are."""
    for node in list(graph):
        wide = node.inputs[0] if is_dequantize(node) else None
        cast = None if wide is None else wide.producer()
        if cast is None or cast.op_type != "Cast" or cast.domain != "" or any(node.inputs[2:]):
            continue
        codes, to = cast.inputs[0], cast.attributes["to"].as_int() if "to" in cast.attributes else 0
        if codes is not None and codes.dtype == ir.DataType.INT8 and constant_of(codes) is not None and to in BIAS:
            node.replace_input_with(0, codes)


def import_qdq(model: ir.Model) -> None:
    """Turns the pairs and the dequantised constants of a model's main graph into quantisers, in place."""
    _narrow(model.graph)
    _lift(model.graph)
    importer = _Importer(model)
    for node in list(model.graph):
        if is_quantize(node) or node.op_type == "DynamicQuantizeLinear":
            importer.pair(node)
    for node in list(model.graph):
        if is_dequantize(node):
            importer.weight(node)

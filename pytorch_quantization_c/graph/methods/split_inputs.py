"""Inputs of 16 bits as sums of two of 8 bits, so that their layers run on integers.

With h = FakeQuant(x) of 8 bits and l = FakeQuant(x - h) of 8 bits, whose range is half a step of h, h + l differs from
x by at most 1 / 508 of a step of h. Layers are linear: layer(x) is layer(h) plus the product of l with the same weight,
both on 8-bit integers. Of two codes a 16-bit one would be 254 h + l, which no kernel multiplies as a whole.
"""
from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.layer_noise import layer_name
from ..nodes import DOMAIN, QuantizerSpec, fake_quant, quantizer
from ..passes.editing import add_to_output, constant, is_op, only_reader
from ..representation.naming import free_node_name, free_value_name
from .bias import input_quantizer, quantized_layer, remove_unread, settle

__all__ = ["is_low_half", "is_split", "split_inputs"]

SPEC = QuantizerSpec(8, narrow=False)
STEPS = 127     # of h up to its range
HALF = f"{DOMAIN}.half"     # in the metadata of a layer's node: which half of its input it multiplies
HIGH, LOW = "high", "low"
Halves = tuple[ir.Value, ir.Value]


def is_split(node: ir.Node) -> bool:
    """Whether a layer's input has been split."""
    return node.metadata_props.get(HALF) == HIGH


def is_low_half(node: ir.Node) -> bool:
    """Whether a product is the second one of a layer whose input has been split."""
    return node.metadata_props.get(HALF) == LOW


def split_inputs(model: ir.Model) -> None:
    """Splits the inputs of layers that are quantised to more than 8 bits, in place.

    The others keep theirs: with ranges found at every call, or weights of more than 8 bits, they do not run on integers
    either way.
    """
    nodes = [node for node in model.graph if _is_wide(node)]
    wide = {input_quantizer(node) for node in nodes}
    settle(model, [node for node in model.graph if input_quantizer(node) in wide])
    made: dict[tuple[ir.Value, float], Halves] = {}     # by what is split and its range
    for node in nodes:
        source = input_quantizer(node)
        assert source is not None
        found = quantizer(source)
        of = found.input, float(np.float32(found.amax))
        if of not in made:
            made[of] = _halves(model.graph, source)
        _split(model.graph, node, *made[of])
    if made:
        remove_unread(model)


def _is_wide(node: ir.Node) -> bool:
    source = None if quantized_layer(node) is None else input_quantizer(node)
    if source is None:
        return False
    found = quantizer(source)
    weight = quantizer(node.inputs[1].producer())       # type: ignore[union-attr, arg-type]
    return isinstance(found.spec.bits, int) and found.spec.bits > 8 and found.amax is not None and \
        found.spec.axis is None and isinstance(weight.spec.bits, int) and weight.spec.bits <= 8


def _halves(graph: ir.Graph, source: ir.Node) -> Halves:
    """What stands for the output of a quantiser: 8 bits, and 8 bits of what these leave."""
    found = quantizer(source)
    amax = np.float32(0) if found.amax is None else found.amax
    name = f"{layer_name(found)}.input"
    high = fake_quant(graph, found.input, amax, SPEC, free_node_name(graph, name, ".", 2))
    rest = ir.node("Sub", [found.input, high.outputs[0]], name=free_node_name(graph, f"{name}.rest"))
    rest.outputs[0].name = free_value_name(graph, f"{name}.rest")
    rest.outputs[0].shape, rest.outputs[0].type = found.input.shape, found.input.type
    low = fake_quant(graph, rest.outputs[0], np.float32(amax / (2 * STEPS)), SPEC,
                     free_node_name(graph, name, ".", 2))
    graph.insert_before(source, [high, rest, low])
    return high.outputs[0], low.outputs[0]


def _split(graph: ir.Graph, node: ir.Node, high: ir.Value, low: ir.Value) -> None:
    """Makes a layer the sum of what it gives on both halves of its input."""
    product = ir.Node(node.domain, node.op_type, [low, node.inputs[1]], node.attributes.values(),
                      name=free_node_name(graph, f"{node.name}.low"))
    node.metadata_props[HALF], product.metadata_props[HALF] = HIGH, LOW
    node.replace_input_with(0, high)
    last, bare = _with_bias(node), node.outputs[0]
    out = last.outputs[0]
    product.outputs[0].name = free_value_name(graph, f"{out.name}.low")
    product.outputs[0].shape, product.outputs[0].type = bare.shape, bare.type   # a bias may have more axes
    graph.insert_before(node, product)
    add_to_output(last, product.outputs[0], f"{node.name}.sum", HIGH)


def _with_bias(node: ir.Node) -> ir.Node:
    """The node that ends a layer: a MatMul's bias is added behind it, in its output stage."""
    reader = only_reader(node.outputs[0]) if node.op_type == "MatMul" else None
    return reader if reader is not None and is_op(reader, "Add") and any(
        constant(value) is not None for value in reader.inputs) else node

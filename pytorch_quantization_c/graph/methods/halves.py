"""Inputs and weights of 16 bits as sums of two of 8 bits, so that their layers run on integers.

With h = FakeQuant(x) of 8 bits and l = FakeQuant(x - h) of 8 bits, whose range is half a step of h, h + l differs from
x by at most 1 / 508 of a step of h. Layers are linear: by a weight that is the sum of g and k likewise, the product is
h g + l g + h k, each on 8-bit integers; l k is no larger than what rounding leaves of the others. Of two codes a 16-bit
one would be 254 h + l, which no kernel multiplies as a whole.
"""
from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..analysis.layer_noise import layer_name
from ..nodes import DOMAIN, Quantizer, QuantizerSpec, fake_quant, is_quantizer, quantizer
from ..passes.editing import add_to_output, constant, floats, is_op, only_reader
from ..passes.layers import RECURRENT
from ..representation.arithmetic import fake_quantize
from ..representation.constants import new_constant
from ..representation.naming import free_node_name, free_value_name
from .bias import input_quantizer, quantized_layer, remove_unread, settle

__all__ = ["INPUT", "ROOM", "WEIGHT", "is_low_half", "kept_whole", "split_wide", "wide_operands"]

SPEC = QuantizerSpec(8, narrow=False)
STEPS = 127     # of h up to its range
ROOM = 2        # times the range that calibration found: what is beyond it is not clipped, and 15 bits are left within
HALF = f"{DOMAIN}.half"     # in the metadata of a layer's node: its operands that are split, or LOW
INPUT, WEIGHT, LOW = "input", "weight", "low"


class _Halves(NamedTuple):
    """A value of 8 bits, and the 8 bits of what it leaves; None of a value that stays as it is."""

    high: ir.Value
    low: ir.Value | None


def wide_operands(node: ir.Node) -> frozenset[str]:
    """Which operands of a layer have been split: INPUT, WEIGHT."""
    return frozenset(node.metadata_props.get(HALF, "").split()) - {LOW}


def is_low_half(node: ir.Node) -> bool:
    """Whether a product is another one of a layer some operand of which has been split."""
    return node.metadata_props.get(HALF) == LOW


def split_wide(model: ir.Model) -> None:
    """Splits what layers read with more than 8 bits, in place, but for those that are `kept_whole`."""
    nodes = [node for node in model.graph if _is_wide(node) and _obstacle(node) is None]
    wide = {input_quantizer(node) for node in nodes if _bits(_quantizers(node)[0]) > 8}
    settle(model, [node for node in model.graph if input_quantizer(node) in wide])
    inputs: dict[tuple[ir.Value, float], _Halves] = {}      # by what is split and its range
    weights: dict[ir.Node, _Halves] = {}    # by their quantisers
    for node in nodes:
        found, weight = _quantizers(node)
        of_input, of_weight = (_Halves(value, None) for value in node.inputs[:2] if value is not None)
        if _bits(found) > 8:
            key = found.input, float(np.float32(found.amax))
            if key not in inputs:
                inputs[key] = _input_halves(model.graph, found)
            of_input = inputs[key]
        if _bits(weight) > 8:
            if weight.node not in weights:
                weights[weight.node] = _weight_halves(model.graph, weight)
            of_weight = weights[weight.node]
        _split(model.graph, node, of_input, of_weight)
    if nodes:
        remove_unread(model)


def kept_whole(model: ir.Model) -> dict[str, str]:
    """Layers that read more than 8 bits as a whole and so run in float, by name, with the reason."""
    layers = {str(node.name): _obstacle(node) for node in model.graph if _is_wide(node)}
    recurrent = {str(node.name): f"{node.op_type} takes no halves" for node in model.graph if is_op(
        node, *RECURRENT) and any(_is_wide_quantizer(value) for value in node.inputs)}
    return {name: why for name, why in layers.items() if why is not None} | recurrent


def _quantizers(node: ir.Node) -> tuple[Quantizer, Quantizer]:
    """Those of a quantised layer's input and weight."""
    source, weight = input_quantizer(node), node.inputs[1]
    assert source is not None and weight is not None
    return quantizer(source), quantizer(weight.producer())      # type: ignore[arg-type]


def _bits(found: Quantizer) -> int:
    return found.spec.bits if isinstance(found.spec.bits, int) else 0


def _is_wide(node: ir.Node) -> bool:
    return quantized_layer(node) is not None and max(map(_bits, _quantizers(node))) > 8


def _is_wide_quantizer(value: ir.Value | None) -> bool:
    node = None if value is None else value.producer()
    return node is not None and is_quantizer(node) and _bits(quantizer(node)) > 8


def _obstacle(node: ir.Node) -> str | None:
    """Why a layer that reads more than 8 bits would not run on integers with them split; None if it does."""
    found, weight = _quantizers(node)
    if not _bits(found) or not _bits(weight):
        return "the other operand has small floats"
    if _bits(found) > 8 and (found.amax is None or found.spec.axis is not None):
        return "the input's range is found at every call"
    if _bits(weight) > 8 and (weight.spec.block is not None or weight.spec.unsigned or weight.spec.zero_point):
        return "the weight is in groups or unsigned"
    return None


def _rest(amax: NDArray[np.float32]) -> NDArray[np.float32]:
    """The range of what 8 bits of this range leave: half a step."""
    return np.asarray(amax / np.float32(2 * STEPS), np.float32)


def _input_halves(graph: ir.Graph, found: Quantizer) -> _Halves:
    """What stands for the output of an activation's quantiser."""
    amax = np.asarray(found.amax, np.float32)
    amax = amax * np.float32(ROOM) if amax < np.finfo(np.float32).max / ROOM else amax
    name = f"{layer_name(found)}.input"
    high = fake_quant(graph, found.input, amax, SPEC, free_node_name(graph, name, ".", 2))
    rest = ir.node("Sub", [found.input, high.outputs[0]], name=free_node_name(graph, f"{name}.rest"))
    rest.outputs[0].name = free_value_name(graph, f"{name}.rest")
    rest.outputs[0].shape, rest.outputs[0].type = found.input.shape, found.input.type
    low = fake_quant(graph, rest.outputs[0], _rest(amax), SPEC, free_node_name(graph, name, ".", 2))
    graph.insert_before(found.node, [high, rest, low])
    return _Halves(high.outputs[0], low.outputs[0])


def _weight_halves(graph: ir.Graph, found: Quantizer) -> _Halves:
    """What stands for the output of a weight's quantiser."""
    amax, array = found.amax, floats(found.input)
    assert amax is not None and array is not None
    name, spec = f"{layer_name(found)}.weight", replace(found.spec, bits=8, narrow=True)
    high = fake_quant(graph, found.input, amax, spec, free_node_name(graph, name, ".", 2))
    rest = new_constant(graph, array - fake_quantize(array, amax, spec), f"{found.input.name}.rest")
    low = fake_quant(graph, rest, _rest(amax), spec, free_node_name(graph, name, ".", 2))
    graph.insert_before(found.node, [high, low])
    return _Halves(high.outputs[0], low.outputs[0])


def _split(graph: ir.Graph, node: ir.Node, inputs: _Halves, weights: _Halves) -> None:
    """Makes a layer the sum of its products of halves."""
    last, bare = _with_bias(node), node.outputs[0]
    out = last.outputs[0]
    node.metadata_props[HALF] = " ".join(
        name for name, each in ((INPUT, inputs), (WEIGHT, weights)) if each.low is not None)
    total: ir.Value | None = None
    for operands in ((inputs.low, weights.high), (inputs.high, weights.low)):
        if None in operands:
            continue
        product = ir.Node(node.domain, node.op_type, operands, node.attributes.values(),
                          name=free_node_name(graph, f"{node.name}.low"))
        product.metadata_props[HALF] = LOW
        value = product.outputs[0]
        value.name = free_value_name(graph, f"{out.name}.low")
        value.shape, value.type = bare.shape, bare.type     # a bias may have more axes
        graph.insert_before(node, product)
        if total is not None:
            both = ir.node("Add", [value, total], name=free_node_name(graph, f"{node.name}.low.sum"))
            value = both.outputs[0]
            value.name = free_value_name(graph, f"{out.name}.low")
            value.shape, value.type = bare.shape, bare.type
            graph.insert_before(node, both)
        total = value
    assert total is not None
    node.replace_input_with(0, inputs.high)
    node.replace_input_with(1, weights.high)
    add_to_output(last, total, f"{node.name}.sum", "high")


def _with_bias(node: ir.Node) -> ir.Node:
    """The node that ends a layer: a MatMul's bias is added behind it, in its output stage."""
    reader = only_reader(node.outputs[0]) if node.op_type == "MatMul" else None
    return reader if reader is not None and is_op(reader, "Add") and any(
        constant(value) is not None for value in reader.inputs) else node

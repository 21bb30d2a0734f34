"""Bias correction on graphs: what rounding weights and inputs shifts on average is taken off the layers' biases."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...methods.bias_correction import MeanError, corrected_bias
from ...methods.gains import Gain
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..nodes import fake_quant, is_quantizer, quantizer, quantizers
from ..passes.editing import add_to_output, bypass, floats, graph_of, is_op, only_reader, rank, set_constant
from ..passes.layers import Layer, as_channels, layer_of
from ..placement.insertion import is_residual
from ..placement.sites import moves
from ..representation.constants import new_constant
from ..representation.naming import free_node_name, free_value_name


class _Pair(NamedTuple):
    """A layer, and the names of what it gives in float and on quantised numbers."""

    layer: Layer
    float: str
    quantized: str


def correct_biases(model: ir.Model, feeds: Iterable[Feeds], weights: Mapping[str, NDArray[Any]],
                   shifts: Mapping[str, NDArray[np.float64]] = MappingProxyType({})) -> list[Gain]:
    """Corrects the biases of all quantised layers, in place.

    Args:
        weights: as of `mean_errors`.
        shifts: what else to add, by the names of nodes.
    """
    errors = mean_errors(model, feeds, weights)
    give_biases(model, {name: error.mean() + shifts.get(name, 0) for name, error in errors.items()})
    return [Gain("bias_correction", name, *error.decibels()) for name, error in errors.items()]


def give_biases(model: ir.Model, amounts: Mapping[str, NDArray[np.float64]]) -> None:
    """Adds to what quantised layers give, in place, by the names of their nodes."""
    for node in tuple(model.graph):
        amount = amounts.get(str(node.name))
        if amount is not None and quantized_layer(node) is not None:
            _add(node, amount)


def mean_errors(model: ir.Model, feeds: Iterable[Feeds], weights: Mapping[str, NDArray[Any]]) -> dict[str, MeanError]:
    """The change that quantisation makes to the mean of each layer's outputs, by node name, in order.

    Each layer's error is measured on inputs of the float model, so that layers are independent and one
    pass is enough.

    Args:
        weights: the float weights of layers in which other ones stand, by the names of their nodes.
    """
    shadowed, pairs = _shadowed(model, weights)
    errors = {name: MeanError(pair.layer.channel_axis) for name, pair in pairs.items()}
    interpreter = Interpreter(shadowed)
    for each in feeds:
        _measure(interpreter, each, pairs, errors)
    return {name: error for name, error in errors.items() if error.count}


def quantized_layer(node: ir.Node) -> Layer | None:
    """The layer that a node is, if its input and its weight are quantised; the weight is the float one.

    The quantiser of the input may stand further up, behind nodes that only move data.
    """
    if not is_op(node, "Conv", "ConvTranspose", "Gemm", "MatMul") or input_quantizer(node) is None:
        return None
    weight = None if node.inputs[1] is None else node.inputs[1].producer()
    return layer_of(_unquantized(node)) if is_quantizer(weight) else None


def input_quantizer(node: ir.Node) -> ir.Node | None:
    """The node that quantises what a layer reads first, also where it has moved up; None if none does."""
    source = None if not node.inputs or node.inputs[0] is None else node.inputs[0].producer()
    while source is not None and not is_quantizer(source):
        moved = source.inputs[0] if moves(source) and source.inputs else None
        source = None if moved is None else moved.producer()
    return source


def settle(model: ir.Model, layers: Iterable[ir.Node] | None = None) -> None:
    """Moves quantisers back down to the inputs of layers, by default of all; what the layers read is unchanged."""
    lifted: list[ir.Node] = []
    for node in tuple(model.graph if layers is None else layers):
        source, value = input_quantizer(node), node.inputs[0] if node.inputs else None
        if quantized_layer(node) is None or source is None or value is None or value.producer() is source:
            continue
        found = quantizer(source)
        at_layer = fake_quant(model.graph, value, found.amax, found.spec,
                              free_node_name(model.graph, f"{node.name}.input", ".", 2))
        model.graph.insert_before(node, at_layer)
        node.replace_input_with(0, at_layer.outputs[0])
        lifted += [source] if layers is not None else _above(value)
    for source in lifted:
        for use in tuple(source.outputs[0].uses()):
            if moves(use.node):
                use.node.replace_input_with(use.idx, source.inputs[0])


def _above(value: ir.Value) -> list[ir.Node]:
    """The quantisers ahead of a value that nodes have moved; of a Concat those of all inputs."""
    found: dict[ir.Node, None] = {}
    seen, left = set(), [value.producer()]
    while left:
        source = left.pop()
        if source is None or source in seen:
            continue
        seen.add(source)
        if is_quantizer(source):
            found[source] = None
        elif moves(source):
            left += [each.producer() for each in source.inputs if each is not None]
    return list(found)


def remove_unread(model: ir.Model) -> None:
    """Removes quantisers whose output nothing reads any more."""
    for found in tuple(quantizers(model)):
        if not found.output.uses() and not found.output.is_graph_output():
            model.graph.remove(found.node, safe=True)


def _unquantized(node: ir.Node) -> ir.Node:
    """A copy of the node that reads what its quantisers read; not in any graph."""
    inputs = [source.inputs[0] if value is not None and (source := value.producer()) is not None
              and is_quantizer(source) else value for value in node.inputs]
    return ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), name=node.name)


def _shadowed(model: ir.Model, weights: Mapping[str, NDArray[Any]]) -> tuple[ir.Model, dict[str, _Pair]]:
    """The float model with each quantised layer beside its float one, on the same float input."""
    made = model.clone()
    settle(made)
    for each in tuple(quantizers(made)):
        if is_residual(each):
            bypass(each.node, each.input)
    found: dict[str, _Pair] = {}
    for node in tuple(made.graph):
        layer = quantized_layer(node)
        if layer is None:
            continue
        name = str(node.outputs[0].name)
        node.outputs[0].name = free_value_name(made.graph, f"{name}.quantized")
        layer.node.outputs[0].name = name
        made.graph.insert_after(node, layer.node)
        if str(node.name) in weights:
            set_constant(layer.node, 1, weights[str(node.name)], "float")
        ir.convenience.replace_all_uses_with(node.outputs[0], layer.node.outputs[0], replace_graph_outputs=True)
        found[str(node.name)] = _Pair(layer, name, str(node.outputs[0].name))
        node.name = free_node_name(made.graph, f"{node.name}.quantized")
    return made, found


def _measure(interpreter: Interpreter, feeds: Feeds, pairs: Mapping[str, _Pair],
             errors: Mapping[str, MeanError]) -> None:
    waiting: dict[str, NDArray[Any]] = {}
    owners = {value: name for name, pair in pairs.items() for value in (pair.float, pair.quantized)}

    def observe(name: str, array: Any) -> None:
        owner = owners[name]
        if owner not in waiting:
            waiting[owner] = array
            return
        first = waiting.pop(owner)
        is_quantized = name == pairs[owner].quantized
        errors[owner].add(first if is_quantized else array, array if is_quantized else first)

    interpreter.run(feeds, [], observe, owners)


def _add(node: ir.Node, amount: NDArray[np.float64]) -> None:
    """Adds a number a channel to what a layer gives."""
    layer = quantized_layer(node)
    assert layer is not None
    if node.op_type != "MatMul" and not layer.has_other_bias:
        set_constant(node, 2, corrected_bias(layer.bias, amount), "corrected")
        return
    out = node.outputs[0]
    reader = only_reader(out)
    index = 0 if reader is None or reader.inputs[0] is not out else 1
    bias = floats(reader.inputs[index]) if reader is not None and is_op(reader, "Add") else None
    found = None if bias is None else as_channels(bias, rank(out), layer.channel_axis, layer.channels)
    if reader is not None and found is not None:
        set_constant(reader, index, corrected_bias(found, amount), "corrected")
        return
    constant = new_constant(graph_of(node), corrected_bias(None, amount), f"{node.name}.correction")
    add_to_output(node, constant, f"{node.name}.corrected", "uncorrected")

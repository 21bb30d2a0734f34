"""Inserts quantisers where placement puts them."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.block_quant import block_amax
from ..._core.descriptor import QuantDescriptor
from ..nodes import Quantizer, QuantizerSpec, fake_quant
from ..passes.editing import floats, graph_of, is_op
from ..passes.layers import RECURRENT
from ..representation.naming import free_node_name
from ..representation.notes import set_hidden_quantizer
from ..representation.sharing import set_group
from .choices import Choices, spec_of
from .sites import Site, adds_and, input_sites, residual_sites, weights_of
from .targets import Target

STATE_AMAX = 1.0  # a state is a tanh times a sigmoid, or between a tanh and the state before
RESIDUAL = QuantizerSpec(16, narrow=False)


def is_residual(found: Quantizer) -> bool:
    """Whether a quantiser is that of operands of Adds alone, in 16 bits."""
    return found.spec == RESIDUAL and all(is_op(use.node, "Add") for use in found.output.uses())


def insert_quantizers(model: ir.Model, layers: list[ir.Node], choices: Choices, target: Target, residual: str) -> None:
    """Puts quantisers in: of weights with their ranges, of activations dynamic ones."""
    kind = target.residual if residual == "auto" else residual
    readers = adds_and(model, target.quantized_ops) if kind == "u8" else {}
    readers = {node: inputs for node, inputs in readers.items() if choices.wanted(node)}
    readers |= {node: [0] for node in layers}
    sites = input_sites(model, readers, lambda node: repr(choices.descriptor(node, "input").dict()))
    if kind == "16":
        sites += residual_sites(model, layers)
    weights: dict[tuple[ir.Value, QuantizerSpec], ir.Value] = {}
    for node in layers:
        _quantize_weights(node, choices.descriptor(node, "weight"), weights)
    order = {node: number for number, node in enumerate(model.graph)}
    for site in sites:
        spec = RESIDUAL if site.kind == "residual" else spec_of(choices.descriptor(site.owner, "input"))
        _insert(site, spec, free_node_name(model.graph, f"{site.owner.name}.{site.kind}", ".", 2), order)


def _insert(site: Site, spec: QuantizerSpec, name: str, order: dict[ir.Node, int]) -> None:
    first = min((node for node, _ in site.uses), key=order.__getitem__)
    graph = graph_of(first)
    node = fake_quant(graph, site.value, None, spec, name)
    set_group(node, site.group or name)
    graph.insert_before(first, node)
    for reader, index in site.uses:
        reader.replace_input_with(index, node.outputs[0])


def quantize_states(layers: list[ir.Node], choices: Choices) -> None:
    """Quantises the hidden states of LSTM and GRU, whose magnitudes do not exceed 1."""
    for node in layers:
        descriptor = choices.descriptor(node, "input")
        if is_op(node, *RECURRENT) and isinstance(descriptor.num_bits, int) and descriptor.num_bits <= 8:
            set_hidden_quantizer(node, STATE_AMAX, QuantizerSpec(descriptor.num_bits))


def _quantize_weights(node: ir.Node, descriptor: QuantDescriptor,
                      made: dict[tuple[ir.Value, QuantizerSpec], ir.Value]) -> None:
    for index, axis in weights_of(node):
        value, array = node.inputs[index], floats(node.inputs[index])
        assert value is not None and array is not None
        if not np.isfinite(array).all():
            raise ValueError(f"Expected finite weights, got NaN or infinity in {value.name!r} of node {node.name!r}")
        spec = _weight_spec(node, descriptor, axis)
        if (value, spec) not in made:
            amax = largest(array, spec) if descriptor.amax is None else descriptor.amax
            name = f"{node.name}.weight" if index == 1 else f"{node.name}.recurrent_weight"
            new = fake_quant(graph_of(node), value, amax, spec, free_node_name(graph_of(node), name, ".", 2))
            graph_of(node).insert_before(node, new)
            made[value, spec] = new.outputs[0]
        node.replace_input_with(index, made[value, spec])


def _weight_spec(node: ir.Node, descriptor: QuantDescriptor, axis: int) -> QuantizerSpec:
    """The quantiser of a layer's weight whose output channels are along `axis`; groups are along its inputs."""
    if descriptor.blocks is None:
        return spec_of(descriptor, None if descriptor.axis is None else axis)
    if node.op_type not in ("Gemm", "MatMul"):
        raise ValueError(f"Expected `weight` without `block_sizes` for {node.op_type} {node.name!r}, as groups are of "
                         f"Gemm and MatMul alone, got {descriptor.blocks}: `exclude` the layer, or give it another "
                         "descriptor by `overrides`")
    return replace(spec_of(descriptor), axis=1 - axis, block=descriptor.blocks.size)


def largest(array: NDArray[np.float32], spec: QuantizerSpec) -> NDArray[Any]:
    """The largest magnitudes: of all, of each index of an axis, or of each block along it."""
    if spec.axis is None:
        return np.asarray(np.abs(array).max())
    if spec.block is not None:
        return np.moveaxis(block_amax(np.moveaxis(array, spec.axis, -1), spec.block), -1, spec.axis)
    found: NDArray[Any] = np.abs(array).max(axis=tuple(at for at in range(array.ndim) if at != spec.axis))
    return found

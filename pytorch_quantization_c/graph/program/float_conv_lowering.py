"""Lowering of convolutions of floats."""
from __future__ import annotations

from typing import TYPE_CHECKING

from .float_conv import Folded, packed_panels
from .layers_lowering import spread_outputs
from .operations import FLOATS, Key, array_of

if TYPE_CHECKING:
    from .chains import Chained
    from .float_layers import FloatLayer
    from .lowering import Lowering

__all__ = ["lower_float_conv"]


def lower_float_conv(lowering: Lowering, layer: FloatLayer, chain: Chained | None = None) -> None:
    """Lowers such a step, and the chain that its results go through."""
    value = layer.output if chain is None else chain.output
    stored = lowering.split(value, matrix=False)
    if not stored:
        return
    node = layer.step.node
    made = layer.operation(node.name or value.name or "")
    made.outputs = stored if layer.spread is None else spread_outputs(lowering, made.name, layer.spread, stored)
    lowering.operations.append(made)
    if chain is not None:
        made.chain = chain.operations
        made.operands = lowering.tail_operands(chain, matrix=False)
    weight = lowering.fresh()
    lowering.more_constants[weight] = packed_panels(layer.weight, layer.bias, layer.groups)
    made.weight = array_of(weight)
    made.input = lowering.want(layer.step.reads[0], FLOATS)
    if layer.mirrored:
        windows = Key(lowering.fresh(), FLOATS)
        lowering.operations.append(Folded(made.name, made.input, windows, layer.x))
        made.input = windows

"""Lowering of layers on integers, with what is fused into their output stage."""
from __future__ import annotations

from typing import TYPE_CHECKING

from .operations import Conv, Cropped, Key, Rearranged, Window
from .transposed import Spread
from .volumes import Stacked

if TYPE_CHECKING:
    from .chains import Chained
    from .fusing import Fused
    from .lowering import Lowering

ONE = Window(1)

__all__ = ["lower_layer"]


def lower_layer(lowering: Lowering, fused: Fused, chain: Chained | None = None) -> None:
    layer, value = fused.layer, fused.output if chain is None else chain.output
    stored = lowering.split(value, layer.matrix)
    if not stored:
        return
    name = fused.step.node.name or value.name or ""
    conv = Conv(name, Key(-1, None), layer.weight, layer.scale, layer.bias, layer.groups, layer.y, layer.x,
                first=fused.first, second=fused.second, hard_swish=fused.hard_swish, outputs=stored)
    if layer.spread is not None:
        conv.outputs = _spread(lowering, name, layer.spread, stored)
    lowering.operations.append(conv)
    z = layer.z
    if fused.residual is not None:
        conv.residual = lowering.want_residual(fused.residual, layer.matrix)
        conv.between = fused.between
    if chain is not None:
        conv.chain = chain.operations
        conv.operands = lowering.tail_operands(chain, layer.matrix)
    conv.input = lowering.want(fused.step.reads[0], layer.codes, layer.matrix)
    if z is not None and {z, layer.y, layer.x} != {ONE}:
        frames = Stacked(name, conv.input, conv.input._replace(value=lowering.fresh()), z, layer.groups)
        lowering.operations.append(frames)
        conv.input = frames.output


def _spread(lowering: Lowering, name: str, spread: Spread, stored: list[Key]) -> list[Key]:
    """Makes what a layer stores of channels that become the pixels of blocks; those channels."""
    y, x, *cuts = spread
    if spread.cuts:
        whole = lowering.fresh()
        lowering.operations.extend(Cropped(name, Key(whole, key.form), key, *cuts) for key in stored)
        stored = [Key(whole, key.form) for key in stored]
    if y * x > 1:
        middle = lowering.fresh()
        lowering.operations.extend(Rearranged(name, Key(middle, key.form), key, y, x, True) for key in stored)
        stored = [Key(middle, key.form) for key in stored]
    return stored

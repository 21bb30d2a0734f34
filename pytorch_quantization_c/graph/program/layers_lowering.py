"""Lowering of layers on integers, with what is fused into their output stage."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .operations import Conv, Cropped, Key, Operation, Rearranged, Window
from .transposed import Spread
from .volumes import Stacked

if TYPE_CHECKING:
    from .chains import Chained
    from .fusing import Fused
    from .lowering import Lowering

ONE = Window(1)

__all__ = ["lower_layer", "spread_outputs"]


def lower_layer(lowering: Lowering, fused: Fused, chain: Chained | None = None) -> None:
    layer, value = fused.layer, fused.output if chain is None else chain.output
    stored = lowering.split(value, layer.matrix)
    if not stored:
        return
    name = fused.step.node.name or value.name or ""
    conv = Conv(name, Key(-1, None), layer.weight, layer.scale, layer.bias, layer.groups, layer.y, layer.x,
                first=fused.first, second=fused.second, hard_swish=fused.hard_swish, outputs=stored)
    if layer.spread is not None:
        conv.outputs = spread_outputs(lowering, name, layer.spread, stored)
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


def spread_outputs(lowering: Lowering, name: str, spread: Spread, stored: list[Key]) -> list[Key]:
    """Makes what a layer stores of channels that become the pixels of blocks; those channels."""
    y, x, top, bottom, left, right, z, front, back = spread

    def before(make: Callable[[Key, Key], Operation]) -> None:
        nonlocal stored
        value = lowering.fresh()
        keys = [Key(value, key.form) for key in stored]
        lowering.operations.extend(make(key, target) for key, target in zip(keys, stored, strict=True))
        stored = keys

    frames = z > 1 or front or back
    if spread.cuts or (frames and y * x == 1):  # what the readers of the result may need a border of
        before(lambda key, target: Cropped(name, key, target, top, bottom, left, right))
    if y * x > 1:
        before(lambda key, target: Rearranged(name, key, target, y, x, True))
    if front or back:
        before(lambda key, target: Cropped(name, key, target, front, back, 0, 0, of_frames=True))
    if z > 1:
        before(lambda key, target: Rearranged(name, key, target, z, 1, True, of_frames=True))
    return stored

"""Which chains are fused into a layer's output stage: those whose only layer output has no other reader."""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import onnx_ir as ir

from ..nodes import is_quantizer
from .chains import Chained, has_same_shape
from .float_layers import FloatLayer
from .fusing import Fused
from .natures import are_image_operands, rank_of
from .operations import MAX_TAIL_OPERANDS

__all__ = ["Tail", "tails_of"]


class Tail(NamedTuple):
    """A layer, and the chain that its results go through; they are the chain's first operand."""

    layer: Fused | FloatLayer
    chain: Chained


def tails_of(steps: Iterable[Any], outputs: Iterable[ir.Value], fused: Iterable[Fused], floats: Iterable[FloatLayer],
             chains: Mapping[Any, Chained], images: Collection[ir.Value]) -> dict[Any, Tail]:
    """The layers into which chains are fused, by the last step of each chain."""
    counts = Counter(value for step in steps for value in step.reads if value is not None)
    counts.update(outputs)
    layers: dict[ir.Value, Fused | FloatLayer] = {each.output: each for each in fused}
    layers.update((each.output, each) for each in floats)
    found = {}
    for step, chain in chains.items():
        if is_quantizer(step.node):  # its codes are computed from its input
            continue
        for value in chain.operands:
            layer = layers.get(value) if isinstance(value, ir.Value) else None
            if layer is None or counts[value] != sum(list(each.reads).count(value) for each in chain.steps):
                continue
            channels = len(layer.layer.weight if isinstance(layer, Fused) else layer.weight)
            if _keeps_shape(value, chain, channels) and _fits(layer, chain, images):
                found[step] = Tail(layer, Chained(chain.steps, chain.unsigned, value))
                break
    return found


def _keeps_shape(value: Any, chain: Chained, channels: int) -> bool:
    """Whether the result of a chain has the shape of the value, which has this many channels."""
    others = [each for each in chain.operands if each is not value]
    channel = 1 - (rank_of(value) or 1)
    return has_same_shape(value, chain.output) or all(
        not isinstance(each, ir.Value) and each.ndim <= -channel + 1
        and all(size == 1 or (axis == channel and size == channels) for axis, size in enumerate(each.shape, -each.ndim))
        for each in others)


def _fits(layer: Fused | FloatLayer, chain: Chained, images: Collection[ir.Value]) -> bool:
    """Whether the output stage can read the other operands."""
    others = [each for each in chain.operands if each is not layer.output]
    matrix, spread = (layer.layer.matrix, layer.layer.spread) if isinstance(layer, Fused) else (False, layer.spread)
    if len(others) > (MAX_TAIL_OPERANDS if spread is None else 0) or matrix == (chain.output in images):
        return False
    if matrix:
        return all(_is_row(each, chain.output) for each in others)
    return are_image_operands([layer.output, *others], chain.output)


def _is_row(operand: Any, output: ir.Value) -> bool:
    if isinstance(operand, ir.Value):
        return has_same_shape(operand, output)
    return bool(operand.ndim <= 4 and operand.shape[:-1] == (1,) * (operand.ndim - 1))

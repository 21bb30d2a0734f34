"""Which values of a graph are images: outputs of convolutions, and what is computed from them pixel by pixel."""
from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from ..nodes import is_quantizer
from .chains import KNOWN, has_same_shape, is_float
from .fusing import Fused

__all__ = ["are_image_operands", "image_values", "rank_of"]

FOLLOWING = {*KNOWN, "AveragePool", "Concat", "DepthToSpace", "GlobalAveragePool",
             "GlobalMaxPool", "MaxPool", "Pad", "ReduceMean", "Resize", "Slice", "Split"}
FOLLOWING_VOLUMES = {*KNOWN, "Concat", "MaxPool"}
POOLS = {("AveragePool", 4), ("MaxPool", 4), ("MaxPool", 5)}


def rank_of(value: ir.Value | None) -> int | None:
    """The number of axes, if it is known."""
    return None if value is None or value.shape is None else len(value.shape)


def image_values(steps: Iterable[Any], fused: Mapping[Any, Fused], floats: Container[Any]) -> set[ir.Value]:
    """The values stored channels last in a program; `floats` are the convolutions of floats."""
    found: set[ir.Value] = set()
    for step in steps:
        if step in fused:
            found.update([] if fused[step].layer.matrix else [fused[step].output])
        elif step in floats:
            found.add(step.outputs[0])
        elif (step.node.domain in ("", "ai.onnx") and is_float(step.outputs[0])
              and (step.node.op_type, rank_of(step.outputs[0])) in POOLS):
            found.add(step.outputs[0])
        elif is_quantizer(step.node) or (step.node.op_type in FOLLOWING and step.node.domain in ("", "ai.onnx")):
            if any(value in found for value in step.reads):
                volumes = is_quantizer(step.node) or step.node.op_type in FOLLOWING_VOLUMES
                found.update(value for value in step.outputs if value is not None and (
                    rank_of(value) in (3, 4) or (rank_of(value) == 5 and volumes)))
    return found


def are_image_operands(operands: Sequence[Any], value: ir.Value) -> bool:
    """Whether operands have the axes of images; with volumes, they have the same shape, or none along the frames."""
    rank, values = rank_of(value) or 0, [each for each in operands if isinstance(each, ir.Value)]
    constants = [each for each in operands if not isinstance(each, ir.Value)]
    if any(rank_of(each) != rank for each in values) or any(each.ndim > rank for each in constants):
        return False
    return rank < 5 or (all(_has_no_frames(each) for each in constants)
                        and all(has_same_shape(each, value) for each in values if len(values) > 1))


def _has_no_frames(constant: Any) -> bool:
    """Whether a constant operand of volumes is one number, or one per channel."""
    return all(size == 1 or axis == -4 for axis, size in enumerate(constant.shape, -constant.ndim))

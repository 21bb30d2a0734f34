"""Which values of a graph are images: outputs of convolutions, and what is computed from them pixel by pixel."""
from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import onnx_ir as ir

from ..nodes import is_quantizer
from .chains import KNOWN, is_float
from .fusing import Fused

__all__ = ["image_values", "rank_of"]

FOLLOWING = {*KNOWN, "AveragePool", "Concat", "DepthToSpace", "GlobalAveragePool",
             "GlobalMaxPool", "MaxPool", "Pad", "ReduceMean", "Resize", "Slice", "Split"}


def rank_of(value: ir.Value | None) -> int | None:
    """The number of axes, if it is known."""
    return None if value is None or value.shape is None else len(value.shape)


def image_values(steps: Iterable[Any], fused: Mapping[Any, Fused], floats: Container[Any]) -> set[ir.Value]:
    """The values that lie channels last inside a program; `floats` are the convolutions of floats."""
    found: set[ir.Value] = set()
    for step in steps:
        if step in fused:
            found.update([] if fused[step].layer.matrix else [fused[step].output])
        elif step in floats:
            found.add(step.outputs[0])
        elif (step.node.op_type in ("AveragePool", "MaxPool") and step.node.domain in ("", "ai.onnx")
              and rank_of(step.outputs[0]) == 4 and is_float(step.outputs[0])):
            found.add(step.outputs[0])
        elif is_quantizer(step.node) or (step.node.op_type in FOLLOWING and step.node.domain in ("", "ai.onnx")):
            if any(value in found for value in step.reads):
                found.update(value for value in step.outputs if value is not None and rank_of(value) in (3, 4))
    return found

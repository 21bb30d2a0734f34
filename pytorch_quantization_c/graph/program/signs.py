"""Which values may have zeros of either sign, because no output of the graph shows it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from ..interpreter.integer_layer import IntegerLayer
from ..nodes import is_quantizer

__all__ = ["unsigned_zeros"]

CARRIERS = {"Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "HardSwish", "Identity", "MaxPool",
            "Mul", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Sub", "Sum", "Tanh", "Transpose"}
"""Operators to which the sign of a zero changes that of a zero at most."""


def unsigned_zeros(steps: Iterable[Any], outputs: Iterable[ir.Value]) -> set[ir.Value]:
    """The values that end as integers of layers alone, which have one zero, by way of operators that carry signs on."""
    shown = set(outputs)
    found: set[ir.Value] = set()
    for step in reversed([*steps]):
        carries = isinstance(step.compute, IntegerLayer) or (
            (is_quantizer(step.node) or (step.node.op_type in CARRIERS and step.node.domain in ("", "ai.onnx")))
            and shown.isdisjoint(step.outputs))
        if not carries:
            shown.update(value for value in step.reads if value is not None)
        found.update(value for value in step.outputs if value is not None and value not in shown)
    return found

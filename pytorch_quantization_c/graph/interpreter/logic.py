"""Comparisons and logic."""
from __future__ import annotations

import numpy as np

from .table import Array, Function, NodeLike, attribute, operator

COMPARE: dict[str, Function] = {
    "And": np.logical_and, "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "Not": np.logical_not, "Or": np.logical_or, "Xor": np.logical_xor,
    "BitwiseAnd": np.bitwise_and, "BitwiseNot": np.bitwise_not, "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor, "IsNaN": np.isnan, "Where": np.where,
}


@operator(*COMPARE)
def _compare(node: NodeLike, opset: int) -> Function:
    return COMPARE[node.op_type]


@operator("IsInf")
def _is_inf(node: NodeLike, opset: int) -> Function:
    positive, negative = attribute(node, "detect_positive", 1), attribute(node, "detect_negative", 1)

    def run(x: Array) -> Array:
        return np.asarray(np.isinf(x) & ((x > 0) & bool(positive) | (x < 0) & bool(negative)))
    return run


@operator("Mod")
def _mod(node: NodeLike, opset: int) -> Function:
    return np.fmod if attribute(node, "fmod", 0) else np.mod

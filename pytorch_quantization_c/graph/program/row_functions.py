"""Which nodes are row functions that a program has kernels for."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..interpreter.table import attribute, constant
from .chains import is_float

__all__ = ["RowFunction", "row_function"]

KINDS = {"Softmax": "softmax", "LayerNormalization": "layer_norm"}


class RowFunction(NamedTuple):
    """See `operations.Rows`; `vectors`: weight and bias."""

    kind: str
    vectors: list[NDArray[np.float32] | None]
    epsilon: float


def row_function(node: ir.Node) -> RowFunction | None:
    """What a node computes of rows along the last axis; None if there is no kernel for it, or if its weights vary."""
    kind, x = KINDS.get(node.op_type), node.inputs[0] if node.inputs else None
    if kind is None or node.domain not in ("", "ai.onnx") or x is None or x.shape is None or not is_float(x):
        return None
    if attribute(node, "axis", -1) not in (-1, len(x.shape) - 1) or attribute(node, "stash_type", 1) != 1:
        return None
    given = [constant(node, number) for number, each in enumerate(node.inputs) if number and each is not None]
    vectors: list[NDArray[np.float32] | None] = []
    for each in given:
        if each is None or each.ndim != 1 or each.dtype != np.float32:
            return None
        vectors.append(each)
    if kind == "softmax":
        return RowFunction(kind, [None, None], 0.0)
    return RowFunction(kind, (vectors + [None])[:2], float(str(np.float32(attribute(node, "epsilon", 1e-5)))))

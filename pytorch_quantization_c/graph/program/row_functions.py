"""Which nodes are row functions that a program has kernels for."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..interpreter.table import attribute, constant
from .chains import is_float

__all__ = ["RowFunction", "row_function"]

KINDS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "LayerNormalization": "layer_norm"}


class RowFunction(NamedTuple):
    """See `operations.Rows`; `vectors`: weight and bias.

    order: the axes with that of the rows last, where another is.
    """

    kind: str
    vectors: list[NDArray[np.float32] | None]
    epsilon: float
    order: list[int] | None = None


def row_function(node: ir.Node) -> RowFunction | None:
    """What a node computes of rows along the last axis, or softmax and its logarithm along any; None: no kernel."""
    kind, x = KINDS.get(node.op_type), node.inputs[0] if node.inputs else None
    if kind is None or node.domain not in ("", "ai.onnx") or x is None or x.shape is None or not is_float(x):
        return None
    rank = len(x.shape)
    axis = attribute(node, "axis", -1)
    if not -rank <= axis < rank or attribute(node, "stash_type", 1) != 1:
        return None
    last = axis in (-1, rank - 1)
    if not last and kind == "layer_norm":
        return None
    given = [constant(node, number) for number, each in enumerate(node.inputs) if number and each is not None]
    vectors: list[NDArray[np.float32] | None] = []
    for each in given:
        if each is None or each.ndim != 1 or each.dtype != np.float32:
            return None
        vectors.append(each)
    if kind != "layer_norm":
        order = None if last else [*(each for each in range(rank) if each != axis % rank), axis % rank]
        return RowFunction(kind, [None, None], 0.0, order)
    return RowFunction(kind, (vectors + [None])[:2], float(str(np.float32(attribute(node, "epsilon", 1e-5)))))

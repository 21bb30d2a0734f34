"""Biases of products in files: rows of two axes, which onnxruntime leaves next to the product."""
from __future__ import annotations

import onnx_ir as ir

from ..passes.editing import constant, is_op, rank
from ..representation.constants import new_constant

__all__ = ["widen_biases"]


def widen_biases(graph: ir.Graph) -> None:
    """Gives what is added to products on integers of more than two axes an axis of one row in front; the sums are the
    same.

    onnxruntime turns a MatMul of more than two axes and an Add of a vector into a Gemm of floats between two Reshapes.
    With signed codes and opset 21 or above it then refuses the model, as it writes a QuantizeLinear of another type
    behind the first Reshape. A row it leaves alone, and the MatMul runs on integers.
    """
    rows: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        for number in (0, 1) if is_op(node, "Add") else ():
            product, vector = node.inputs[1 - number], node.inputs[number]
            if vector is None or product is None or not _is_integer_product(product):
                continue
            array = constant(vector)
            if array is not None and array.ndim == 1:
                if vector not in rows:
                    rows[vector] = new_constant(graph, array[None], f"{vector.name}.row")
                node.replace_input_with(number, rows[vector])


def _is_integer_product(value: ir.Value) -> bool:
    node, axes = value.producer(), rank(value)
    return is_op(node, "MatMul") and axes is not None and axes > 2 and all(
        each is not None and is_op(each.producer(), "DequantizeLinear") for each in node.inputs)  # type: ignore[union-attr]

"""Operators that read and write codes, into DequantizeLinear, the float operator and QuantizeLinear."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..representation.constants import constant_of, new_constant
from ..representation.naming import free_node_name, free_value_name

__all__ = ["import_qlinear"]

MICROSOFT = "com.microsoft"
Input = ir.Value | None


class _Lowering:
    """One node on codes, and the nodes that are put in its place."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph, self.node = graph, node
        self.name = node.name or ""

    def inputs(self, *numbers: int) -> list[Input]:
        """Inputs by number, None for those that are not there."""
        given = self.node.inputs
        return [given[number] if number < len(given) else None for number in numbers]

    def attributes(self, *left_out: str) -> dict[str, ir.Attr]:
        """The attributes, some left out."""
        return {name: value for name, value in self.node.attributes.items() if name not in left_out}

    def add(self, op_type: str, inputs: Sequence[Input], name: str, attributes: Any = ()) -> ir.Value:
        """A new node ahead of the old one; its only output."""
        made = ir.Node("", op_type, inputs, attributes, name=free_node_name(self.graph, name), num_outputs=1)
        made.outputs[0].name = free_value_name(self.graph, f"{name}.y")
        self.graph.insert_before(self.node, made)
        return made.outputs[0]

    def floats(self, codes: Input, scale: Input, zero: Input, which: str, axis: int | None = None) -> ir.Value:
        """The numbers that codes stand for; `axis`: of scales that are several."""
        several = scale is not None and scale.shape is not None and scale.shape.numpy() not in ((), (1,))
        attributes = [ir.AttrInt64("axis", axis)] if several and axis is not None else []
        inputs = [codes, scale] if zero is None else [codes, scale, zero]
        return self.add("DequantizeLinear", inputs, f"{self.name}.{which}", attributes)

    def finish(self, y: ir.Value, scale: Input, zero: Input) -> None:
        """Codes of `y` in the place of the old node's output; without a scale `y` itself."""
        old = self.node.outputs[0]
        if scale is None:
            new = y
        else:
            inputs = [y, scale] if zero is None else [y, scale, zero]
            new = self.add("QuantizeLinear", inputs, f"{self.name}.output")
        new.type, new.shape, name = old.type, old.shape, old.name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name, new.name = f"{name}.replaced", name
        self.graph.remove(self.node, safe=True)

    def bias(self, codes: Input, first: Input, second: Input, factor: float = 1.0) -> Input:
        """A bias of 32 bits as numbers: its step is the product of the two scales."""
        if codes is None:
            return None
        array, a, b = constant_of(codes), constant_of(first), constant_of(second)
        assert array is not None and a is not None and b is not None
        step = np.float64(factor) * a.astype(np.float64).reshape(-1) * b.astype(np.float64).reshape(-1)
        return new_constant(self.graph, (array * step).astype(np.float32), f"{codes.name}.float")


def _bias_is_constant(node: ir.Node, bias: int, first: int, second: int) -> bool:
    if bias >= len(node.inputs) or node.inputs[bias] is None:
        return True
    return all(constant_of(node.inputs[number]) is not None for number in (bias, first, second))


def _conv(low: _Lowering) -> None:
    x, xs, xz, w, ws, wz, ys, yz, codes = low.inputs(*range(9))
    bias = low.bias(codes, xs, ws)
    inputs = [low.floats(x, xs, xz, "input"), low.floats(w, ws, wz, "weight", 0)]
    y = low.add("Conv", inputs if bias is None else [*inputs, bias], f"{low.name}.float", low.attributes())
    low.finish(y, ys, yz)


def _matmul(low: _Lowering) -> None:
    a, sa, za, b, sb, zb, sy, zy = low.inputs(*range(8))
    last = -1 if b is None or b.shape is None else len(b.shape) - 1
    inputs = [low.floats(a, sa, za, "input"), low.floats(b, sb, zb, "weight", last)]
    low.finish(low.add("MatMul", inputs, f"{low.name}.float"), sy, zy)


def _gemm(low: _Lowering) -> None:
    a, sa, za, b, sb, zb, codes, sy, zy = low.inputs(*range(9))
    found = low.node.attributes
    alpha = found["alpha"].as_float() if "alpha" in found else 1.0
    axis = 0 if "transB" in found and found["transB"].as_int() else 1
    bias = low.bias(codes, sa, sb, alpha)
    inputs = [low.floats(a, sa, za, "input"), low.floats(b, sb, zb, "weight", axis)]
    y = low.add("Gemm", inputs if bias is None else [*inputs, bias], f"{low.name}.float", low.attributes())
    low.finish(y, sy, zy)


def _binary(op_type: str) -> Callable[[_Lowering], None]:
    def lower(low: _Lowering) -> None:
        a, sa, za, b, sb, zb, sy, zy = low.inputs(*range(8))
        inputs = [low.floats(a, sa, za, "a"), low.floats(b, sb, zb, "b")]
        low.finish(low.add(op_type, inputs, f"{low.name}.float"), sy, zy)
    return lower


def _unary(op_type: str, *left_out: str) -> Callable[[_Lowering], None]:
    def lower(low: _Lowering) -> None:
        x, sx, zx, sy, zy = low.inputs(*range(5))
        y = low.add(op_type, [low.floats(x, sx, zx, "input")], f"{low.name}.float", low.attributes(*left_out))
        low.finish(y, sy, zy)
    return lower


def _concat(low: _Lowering) -> None:
    sy, zy, *rest = low.inputs(*range(len(low.node.inputs)))
    parts = [low.floats(rest[i], rest[i + 1], rest[i + 2], f"part{i // 3}") for i in range(0, len(rest), 3)]
    low.finish(low.add("Concat", parts, f"{low.name}.float", low.attributes()), sy, zy)


LOWERINGS: dict[tuple[str, str], Callable[[_Lowering], None]] = {
    ("", "QLinearConv"): _conv, ("", "QLinearMatMul"): _matmul, (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "QLinearAdd"): _binary("Add"), (MICROSOFT, "QLinearMul"): _binary("Mul"),
    (MICROSOFT, "QLinearSigmoid"): _unary("Sigmoid"), (MICROSOFT, "QLinearLeakyRelu"): _unary("LeakyRelu"),
    (MICROSOFT, "QLinearGlobalAveragePool"): _unary("GlobalAveragePool", "channels_last"),
    (MICROSOFT, "QLinearAveragePool"): _unary("AveragePool", "channels_last"),
    (MICROSOFT, "QLinearSoftmax"): _unary("Softmax", "opset"), (MICROSOFT, "QLinearConcat"): _concat,
}
BIASES = {"QLinearConv": (8, 1, 4), "QGemm": (6, 1, 4)}


def _is_known(node: ir.Node) -> bool:
    if (node.domain, node.op_type) not in LOWERINGS:
        return False
    found = node.attributes
    if "channels_last" in found and found["channels_last"].as_int():
        return False
    if node.op_type == "QLinearSoftmax" and ("opset" not in found or found["opset"].as_int() < 13):
        return False
    return node.op_type not in BIASES or _bias_is_constant(node, *BIASES[node.op_type])


def import_qlinear(model: ir.Model) -> None:
    """Decomposes the operators on codes in a model's main graph, in place; unknown forms stay."""
    for node in list(model.graph):
        if _is_known(node):
            LOWERINGS[node.domain, node.op_type](_Lowering(model.graph, node))

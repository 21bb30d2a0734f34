"""Integer products of dynamically quantised inputs, converted to dynamic quantisers."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from ..nodes import QuantizerSpec, declare, fake_quant
from ..representation.coding import coding_of
from ..representation.constants import constant_of, new_constant
from ..representation.naming import free_node_name

__all__ = ["import_dynamic"]

PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}


class _Operand(NamedTuple):
    """A factor of a product: the quantised numbers, and the value that is their scale."""

    value: ir.Value
    scale: ir.Value


class _Chain(NamedTuple):
    """A product of integers, the Cast behind it, and the Mul by both scales."""

    product: ir.Node
    factors: tuple[ir.Value, ...]
    end: ir.Node


def _only_reader(value: ir.Value, op_type: str) -> ir.Node | None:
    nodes = [use.node for use in value.uses()]
    node = nodes[0] if len(nodes) == 1 and not value.is_graph_output() else None
    return node if node is not None and node.op_type == op_type and node.domain == "" else None


def _chain(product: ir.Node) -> _Chain | None:
    cast = _only_reader(product.outputs[0], "Cast")
    if cast is None or cast.attributes["to"].as_int() != ir.DataType.FLOAT:
        return None
    end = _only_reader(cast.outputs[0], "Mul")
    if end is None:
        return None
    scales = end.inputs[1] if end.inputs[0] is cast.outputs[0] else end.inputs[0]
    both = None if scales is None else scales.producer()
    if both is None or both.op_type != "Mul" or any(value is None for value in both.inputs):
        return None
    return _Chain(product, tuple(value for value in both.inputs if value is not None), end)


class _Importer:
    def __init__(self, model: ir.Model) -> None:
        self.model, self.graph = model, model.graph
        self.dynamic: dict[ir.Node, ir.Value] = {}

    def product(self, node: ir.Node) -> None:
        """Replaces a chain by the float operator on quantisers, if it is one."""
        chain = _chain(node)
        if chain is None:
            return
        operands = []
        for number in (0, 1):
            zero = node.inputs[number + 2] if len(node.inputs) > number + 2 else None
            code = node.inputs[number]
            operand = None if code is None else self._operand(node, code, zero, chain.factors, number)
            if operand is None:
                return
            operands.append(operand)
        if {id(each.scale) for each in operands} != {id(each) for each in chain.factors}:
            return
        self._finish(chain, [each.value for each in operands])

    def _operand(self, node: ir.Node, code: ir.Value, zero: ir.Value | None, factors: tuple[ir.Value, ...],
                 number: int) -> _Operand | None:
        source = code.producer()
        if source is not None and source.op_type == "DynamicQuantizeLinear" and code is source.outputs[0] \
                and zero is source.outputs[2]:
            return _Operand(self._found(source), source.outputs[1])
        codes, point = constant_of(code), constant_of(zero)
        scale = next((each for each in factors if constant_of(each) is not None), None)
        if codes is None or scale is None or (zero is not None and point is None) or code.dtype is None:
            return None
        step = constant_of(scale)
        assert step is not None
        axis = 0 if node.op_type == "ConvInteger" else codes.ndim - 1
        if step.size > 1 and (step.size != codes.shape[axis] or node.op_type == "ConvInteger"):
            return None
        coding = coding_of(step.reshape(-1), point, code.dtype, axis, 0)
        if coding is None:
            return None
        shape = [-1 if i == axis else 1 for i in range(codes.ndim)]
        zeros = np.zeros(1, np.float32) if point is None else point.astype(np.float32).reshape(-1)
        floats = (codes.astype(np.float32) - (zeros.reshape(shape) if zeros.size > 1 else zeros)) * (
            step.reshape(shape) if step.size > 1 else step.reshape(()))
        weight = new_constant(self.graph, floats.astype(np.float32), f"{code.name}.float")
        name = free_node_name(self.graph, f"{node.name}.weight")
        made = fake_quant(self.graph, weight, coding.amax, coding.spec, name)
        self.graph.insert_before(node, made)
        return _Operand(made.outputs[0], scale)

    def _found(self, source: ir.Node) -> ir.Value:
        """The quantiser that does what a DynamicQuantizeLinear does."""
        if source not in self.dynamic:
            x = source.inputs[0]
            assert x is not None
            made = fake_quant(self.graph, x, None, QuantizerSpec(unsigned=True, two_sided=True), source.name or "")
            self.graph.insert_before(source, made)
            self.dynamic[source] = made.outputs[0]
        return self.dynamic[source]

    def _finish(self, chain: _Chain, operands: list[ir.Value]) -> None:
        node, old = chain.product, chain.end.outputs[0]
        made = ir.Node("", PRODUCTS[node.op_type], operands, node.attributes, name=node.name, num_outputs=1)
        self.graph.insert_before(chain.end, made)
        new = made.outputs[0]
        new.type, new.shape, name = old.type, old.shape, old.name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        old.name, new.name = f"{name}.replaced", name
        self.graph.remove(chain.end, safe=True)
        declare(self.model)


def import_dynamic(model: ir.Model) -> None:
    """MatMulInteger and ConvInteger on what DynamicQuantizeLinear made, in place; other forms stay."""
    importer = _Importer(model)
    for node in list(model.graph):
        if node.op_type in PRODUCTS and node.domain == "":
            importer.product(node)

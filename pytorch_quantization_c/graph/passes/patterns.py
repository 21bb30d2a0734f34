"""Operators that exporters decomposed become one operator again, where the model's opset has it."""
from __future__ import annotations

import math
from typing import NamedTuple

import onnx_ir as ir

from .editing import attribute, is_op, read_once, scalar, substitute
from .layer_norm import layer_norm
from .pools import global_average

SWISH, GELU, MISH, HARD_SWISH, LAYER_NORM = 24, 20, 18, 14, 17      # the opsets that introduced them
MAX_INNER = 16      # nodes of a product that are searched


class Product(NamedTuple):
    """Values multiplied with each other and with a number."""

    factors: list[ir.Value]
    number: float


def recognise(model: ir.Model) -> None:
    """HardSigmoid, HardSwish, Gelu (by Erf or Tanh), Mish, Swish, LayerNormalization, GlobalAveragePool; Pow as Sqrt.

    A Div by a constant counts as a Mul.
    """
    opset = model.opset_imports.get("", 0)
    for node in tuple(model.graph):
        if node.graph is None:
            continue
        if is_op(node, "Mul", "Div"):
            made = _activation(node, opset)
            if made is not None:
                substitute(node, made)
        elif is_op(node, "Pow") and scalar(node.inputs[1]) == 0.5 and node.inputs[0] is not None:
            root = _made("Sqrt", node.inputs[0], node)
            substitute(node, root)
            if opset >= LAYER_NORM:
                layer_norm(root)
        elif opset >= LAYER_NORM and is_op(node, "Sqrt"):
            layer_norm(node)
        elif is_op(node, "ReduceMean"):
            global_average(node)


def product(value: ir.Value, root: bool = True) -> Product:
    """The factors of a tree of Mul, and of Div by constants, whose inner values nobody else reads."""
    factors, number, left, inner = list[ir.Value](), 1.0, [value], 0
    while left:
        each = left.pop()
        node, is_root = each.producer(), root and each is value
        divisor = scalar(node.inputs[1]) if node is not None and is_op(node, "Div") else None
        if node is None or inner == MAX_INNER or None in node.inputs or not (is_root or read_once(each)) or \
                not (is_op(node, "Mul") or divisor):
            factors.append(each)
            continue
        inner += 1
        operands = node.inputs[:1]
        if divisor:
            number /= divisor
        else:
            known = [scalar(operand) for operand in node.inputs]
            number *= math.prod(1.0 if each is None else each for each in known)
            operands = [operand for operand, found in zip(node.inputs, known, strict=True) if found is None]
        left.extend(operand for operand in reversed(operands) if operand is not None)
    return Product(factors, number)


def near(number: float | None, wanted: float) -> bool:
    """Equal but for roundings of float32."""
    return number is not None and math.isclose(number, wanted, rel_tol=1e-5)


def _made(op_type: str, x: ir.Value, like: ir.Node, **attributes: float | str) -> ir.Node:
    return ir.node(op_type, [x], attributes=attributes, name=like.name)


def _activation(node: ir.Node, opset: int) -> ir.Node | None:
    factors, number = product(node.outputs[0])
    if len(factors) == 1:
        x = _relu6_of_shifted(factors[0])
        return _made("HardSigmoid", x, node, alpha=1 / 6, beta=0.5) if x is not None and near(number, 1 / 6) else None
    if len(factors) != 2:
        return None
    for x, gate in (factors, factors[::-1]):
        if opset >= HARD_SWISH and ((near(number, 1 / 6) and _relu6_of_shifted(gate) is x)
                                    or (number == 1 and _hard_gate(gate) is x)):
            return _made("HardSwish", x, node)
        if opset >= GELU and near(number, 0.5) and (form := _gelu_gate(gate, x)):
            return _made("Gelu", x, node, approximate=form)
        gated = _argument(gate, "Tanh") if opset >= MISH and number == 1 else None
        if gated is not None and _argument(gated, "Softplus") is x:
            return _made("Mish", x, node)
        if opset >= SWISH and number == 1 and _argument(gate, "Sigmoid") is x:
            return _made("Swish", x, node)
    return None


def _argument(value: ir.Value, op_type: str) -> ir.Value | None:
    """What an operator is applied to, where the value is its result and nobody else reads it."""
    node = value.producer()
    return node.inputs[0] if node is not None and is_op(node, op_type) and read_once(value) else None


def _relu6_of_shifted(value: ir.Value) -> ir.Value | None:
    """x, where the value is clip(x + 3, 0, 6)."""
    node = value.producer()
    if not is_op(node, "Clip") or node is None or len(node.inputs) < 3 or not read_once(value):
        return None
    if scalar(node.inputs[1]) != 0 or not near(scalar(node.inputs[2]), 6):
        return None
    return _plus(node.inputs[0], 3.0)


def _plus(value: ir.Value | None, number: float) -> ir.Value | None:
    """x, where the value is x + number."""
    node = None if value is None else value.producer()
    if node is None or not is_op(node, "Add"):
        return None
    a, b = node.inputs
    return a if near(scalar(b), number) else b if near(scalar(a), number) else None


def _hard_gate(value: ir.Value) -> ir.Value | None:
    """x, where the value is HardSigmoid(x) with slope 1/6."""
    node = value.producer()
    if node is None or not is_op(node, "HardSigmoid") or not read_once(value):
        return None
    slope, start = float(attribute(node, "alpha", 0.2)), float(attribute(node, "beta", 0.5))
    return node.inputs[0] if math.isclose(slope, 1 / 6, rel_tol=1e-4) and start == 0.5 else None


def _gelu_gate(value: ir.Value, x: ir.Value) -> str:
    """"none" or "tanh", the attribute of Gelu, where the value is 1 + erf(x / sqrt 2) or 1 + tanh(...); else ""."""
    inner = _plus(value, 1.0) if read_once(value) else None
    node = None if inner is None else inner.producer()
    if node is None or not is_op(node, "Erf", "Tanh") or not read_once(node.outputs[0]) or node.inputs[0] is None:
        return ""
    factors, number = product(node.inputs[0], False)
    if is_op(node, "Erf"):
        return "none" if factors == [x] and near(number, math.sqrt(0.5)) else ""
    if not near(number, math.sqrt(2 / math.pi)):
        return ""
    if len(factors) == 1:
        return "tanh" if _cubic(factors[0], x) else ""
    rest = [factor for factor in factors if factor is not x]
    return "tanh" if len(factors) == 2 and len(rest) == 1 and _square_plus_one(rest[0], x) else ""


def _cubic(value: ir.Value, x: ir.Value) -> bool:
    """Whether the value is x + 0.044715 x^3."""
    node = value.producer()
    if node is None or not is_op(node, "Add") or x not in node.inputs:
        return False
    other = node.inputs[1] if node.inputs[0] is x else node.inputs[0]
    return other is not None and _is_power(other, x, 3)


def _square_plus_one(value: ir.Value, x: ir.Value) -> bool:
    """Whether the value is 1 + 0.044715 x^2."""
    inner = _plus(value, 1.0)
    return inner is not None and _is_power(inner, x, 2)


def _is_power(value: ir.Value, x: ir.Value, exponent: int) -> bool:
    """Whether the value is 0.044715 x^exponent."""
    factors, number = product(value, False)
    if not near(number, 0.044715):
        return False
    powers = 0
    for factor in factors:
        node = factor.producer()
        if factor is x:
            powers += 1
        elif node is not None and is_op(node, "Pow") and node.inputs[0] is x and scalar(node.inputs[1]) is not None:
            powers += int(scalar(node.inputs[1]) or 0)
        else:
            return False
    return powers == exponent

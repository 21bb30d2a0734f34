"""Which elementwise operators become a chain, a single pass over memory, and the operations of each chain."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ...float_nn.functional.norm import norm_factor
from ..interpreter.norms import epsilon_of
from ..interpreter.table import attribute, constant
from ..nodes import is_quantizer, quantizer
from ..representation.arithmetic import signs_zeros
from ..representation.notes import NUMPY
from .layers import codes_of
from .operations import MAX_CHAIN, MAX_OPERANDS, MAX_REGISTERS, ChainOp

__all__ = ["Chained", "built", "chains_of", "has_same_shape", "is_float"]

Term = int | float
"""What an operation reads: the number of a value, or a number itself."""

BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Max": "max", "Min": "min", "Sum": "add"}
UNARY = {"Neg": "neg", "Abs": "abs", "Sqrt": "sqrt", "Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf",
         "HardSwish": "hard_swish"}


class _Refused(Exception):
    """A form of an operator that chains do not support."""


class _Builder:
    """Operations on numbered values: operands first, in the order in which they appear."""

    def __init__(self, unsigned: Collection[ir.Value]) -> None:
        self.unsigned = unsigned
        self.operands: list[Any] = []  # values, or constant arrays
        self.made: list[tuple[str, Term, Term, float]] = []  # kind, a, b, number; results are numbered -1, -2, ...
        self.known: dict[ir.Value, Term] = {}

    def operand(self, what: Any) -> int:
        for number, each in enumerate(self.operands):
            if each is what:
                return number
        self.operands.append(what)
        return len(self.operands) - 1

    def emit(self, kind: str, a: Term, b: Term = 0, number: float = 0.0) -> Term:
        if isinstance(a, float) or isinstance(b, float):
            raise _Refused
        self.made.append((kind, a, b, float(np.float32(number))))
        return -len(self.made)

    def binary(self, kind: str, a: Term, b: Term) -> Term:
        if isinstance(a, int) and isinstance(b, int):
            return self.emit(kind, a, b)
        if isinstance(b, float):
            return self.emit("add_number", a, number=-b) if kind == "sub" else self.emit(f"{kind}_number", a, number=b)
        reverse = {"sub": "from_number", "div": "over"}
        return self.emit(reverse.get(kind, f"{kind}_number"), b, number=a)

    def clamp(self, x: Term, low: Any, high: Any, clip: bool = False) -> Term:
        """Clamps by maximum and minimum, or by comparisons as numpy.clip does, which distinguishes the zeros."""
        kinds = ("at_least", "at_most") if clip else ("max_number", "min_number")
        for kind, bound in zip(kinds, (low, high), strict=True):
            if bound is not None:
                x = self.emit(kind, x, number=bound)
        return x

    # Operators

    def term(self, value: ir.Value | None) -> Term:
        if value is None:
            raise _Refused
        if value in self.known:
            return self.known[value]
        array = None if value.is_graph_input() or value.const_value is None else value.const_value.numpy()
        if array is None:
            return self.operand(value)
        if array.dtype != np.float32 or np.isnan(array).any():
            raise _Refused
        return float(array.reshape(())) if array.size == 1 else self.operand(array)

    def add(self, node: ir.Node) -> None:
        """Adds a node's operations; from then on its output is known."""
        maker = _fake_quant if is_quantizer(node) else MAKERS.get(node.op_type)
        if maker is not None:
            result = maker(self, node)
        elif node.op_type in UNARY:
            result = self.emit(UNARY[node.op_type], self.term(node.inputs[0]))
        else:
            result = self.term(node.inputs[0])
            for value in node.inputs[1:]:
                result = self.binary(BINARY[node.op_type], result, self.term(value))
        self.known[node.outputs[0]] = result

    def joined(self) -> dict[int, tuple[str, Term, Term, float]]:
        """The operations by their numbers; x * sigmoid(x) is a single operation if nothing else reads the sigmoid."""
        made = dict(enumerate(self.made))
        uses = Counter(term for _, a, b, _ in self.made for term in {a, b})
        for number, (kind, a, b, _) in enumerate(self.made):
            for x, term in ((a, b), (b, a)) if kind == "mul" else ():
                inner = int(-term - 1)
                if term < 0 and self.made[inner][:2] == ("sigmoid", x) and uses[term] == 1:
                    made[number] = "silu", x, x, 0.0
                    made.pop(inner, None)
        return made

    def operations(self) -> list[ChainOp]:
        """The operations with registers: operands come first, then results, for as long as they are needed."""
        if len(self.operands) > MAX_OPERANDS or len(self.made) > MAX_CHAIN or not self.operands:
            raise _Refused
        made = self.joined()
        last = {term: number for number, each in made.items() for term in each[1:3]}
        register: dict[Term, int] = {}
        free, found = list(range(MAX_OPERANDS, MAX_REGISTERS)), []
        for number, (kind, a, b, value) in made.items():
            places = [int(term) if term >= 0 else register[term] for term in (a, b)]
            if not free:
                raise _Refused
            register[-number - 1] = free.pop(0)
            found.append(ChainOp(kind, places[0], places[1], register[-number - 1], value))
            free.extend(register[term] for term in {a, b} if term < 0 and last[term] == number)
        return found


def _clip(b: _Builder, node: ir.Node) -> Term:
    bounds = []
    for number, name in ((1, "min"), (2, "max")):
        given = len(node.inputs) > number and node.inputs[number] is not None
        found = constant(node, number) if given else attribute(node, name)
        if (given and found is None) or (found is not None and (np.size(found) != 1 or np.isnan(found).any())):
            raise _Refused
        bounds.append(None if found is None else float(np.float32(np.asarray(found).reshape(()))))
    return b.clamp(b.term(node.inputs[0]), bounds[0], bounds[1])


def _hard_sigmoid(b: _Builder, node: ir.Node) -> Term:
    x = b.emit("mul_number", b.term(node.inputs[0]), number=attribute(node, "alpha", 0.2))
    return b.clamp(b.emit("add_number", x, number=attribute(node, "beta", 0.5)), 0.0, 1.0, clip=True)


def _swish(b: _Builder, node: ir.Node) -> Term:
    x, alpha = b.term(node.inputs[0]), attribute(node, "alpha", 1.0)
    return b.emit("mul", x, b.emit("sigmoid", x if alpha == 1 else b.emit("mul_number", x, number=alpha)))


def _gelu(b: _Builder, node: ir.Node) -> Term:
    x = b.term(node.inputs[0])
    if attribute(node, "approximate", "none") == "tanh":
        cube = b.emit("mul", b.emit("mul", b.emit("mul_number", x, number=0.044715), x), x)
        inner = b.emit("mul_number", b.emit("add", x, cube), number=np.sqrt(2.0 / np.pi))
        one = b.emit("add_number", b.emit("tanh", inner), number=1.0)
        return b.emit("mul", b.emit("mul_number", x, number=0.5), one)
    return b.emit("gelu", x)


def _exponential(b: _Builder, x: Term, alpha: float, inner: float = 1.0) -> Term:
    """x above 0, else alpha * (exp(x / inner) - 1): see `expm1_below_zero`."""
    low = b.emit("min_number", x, number=0.0)
    t = b.emit("tanh", b.emit("mul_number", low if inner == 1 else b.emit("div_number", low, number=inner), number=0.5))
    curve = b.emit("div", b.emit("mul_number", t, number=2.0), b.emit("from_number", t, number=1.0))
    return b.emit("add", b.emit("max_number", x, number=0.0), b.emit("mul_number", curve, number=alpha))


def _elu(b: _Builder, node: ir.Node) -> Term:
    return _exponential(b, b.term(node.inputs[0]), attribute(node, "alpha", 1.0))


def _celu(b: _Builder, node: ir.Node) -> Term:
    alpha = attribute(node, "alpha", 1.0)
    if alpha < 0:  # exp of what is above 0
        raise _Refused
    return _exponential(b, b.term(node.inputs[0]), alpha, alpha)


def _selu(b: _Builder, node: ir.Node) -> Term:
    made = _exponential(b, b.term(node.inputs[0]), attribute(node, "alpha", 1.6732632423543772))
    return b.emit("mul_number", made, number=attribute(node, "gamma", 1.0507009873554805))


def _mish(b: _Builder, node: ir.Node) -> Term:
    x = b.term(node.inputs[0])
    s, v = b.emit("sigmoid", x), b.emit("sigmoid", b.emit("neg", x))
    above = b.emit("mul", s, b.emit("add_number", v, number=1.0))
    return b.emit("mul", b.emit("div", above, b.emit("add_number", b.emit("mul", v, v), number=1.0)), x)


def _leaky_relu(b: _Builder, node: ir.Node) -> Term:
    return b.emit("leaky_relu", b.term(node.inputs[0]), number=attribute(node, "alpha", 0.01))


def _prelu(b: _Builder, node: ir.Node) -> Term:
    x, slope = b.term(node.inputs[0]), b.term(node.inputs[1])
    return b.emit("prelu", x, b.operand(constant(node, 1)) if isinstance(slope, float) else slope)


def _power(b: _Builder, node: ir.Node) -> Term:
    """Squares and cubes."""
    exponent, x = constant(node, 1), b.term(node.inputs[0])
    if exponent is None or exponent.size != 1 or float(exponent.reshape(())) not in (2, 3):
        raise _Refused
    square = b.emit("mul", x, x)
    return square if float(exponent.reshape(())) == 2 else b.emit("mul", square, x)


def _fake_quant(b: _Builder, node: ir.Node) -> Term:
    """Fake quantises with signed zeros, which codes do not have; values without them are decoded from codes."""
    found = quantizer(node)
    codes = codes_of(found)
    if codes is None or codes.refuses_negative or not signs_zeros(found.spec) or found.output in b.unsigned:
        raise _Refused
    x = b.emit("round", b.emit("mul_number", b.term(found.input), number=codes.mul))
    return b.emit("div_number", b.clamp(x, codes.lo, codes.hi, clip=True), number=codes.div)


def _tested(node: ir.Node) -> ir.Value | None:
    """For a Where that replaces NaN by a number: the value that it tests."""
    maker = node.inputs[0].producer() if node.op_type == "Where" and node.inputs[0] is not None else None
    if maker is None or maker.op_type != "IsNaN" or maker.domain not in ("", "ai.onnx"):
        return None
    value = maker.inputs[0]
    return value if value is node.inputs[2] and is_float(value) else None


def _where(b: _Builder, node: ir.Node) -> Term:
    number = constant(node, 1)
    if number is None or number.size != 1 or number.dtype != np.float32:
        raise _Refused
    return b.emit("nan_number", b.term(_tested(node)), number=float(number.reshape(())))


def _batch_norm(b: _Builder, node: ir.Node) -> Term:
    """By the arithmetic of `float_nn.functional.batch_norm`, of constants of float32."""
    given = [constant(node, number) for number in range(1, 5)]
    x, axes = node.inputs[0], None if node.inputs[0] is None else node.inputs[0].shape
    if x is None or axes is None or len(axes) < 2 or len(node.outputs) > 1 or attribute(node, "training_mode", 0):
        raise _Refused
    if any(each is None or each.dtype != np.float32 or each.shape != (axes[1],) for each in given):
        raise _Refused
    if any(np.isnan(each).any() for each in given if each is not None):
        raise _Refused
    weight, bias, mean, variance = (np.asarray(each).reshape(-1, *[1] * (len(axes) - 2)) for each in given)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = norm_factor(variance, weight, epsilon_of(node)).astype(np.float32)
    if not np.isfinite(factor).all():
        raise _Refused
    centred = b.emit("sub", b.term(x), b.operand(mean))
    return b.emit("add", b.emit("mul", centred, b.operand(factor)), b.operand(bias))


MAKERS: dict[str, Callable[[_Builder, ir.Node], Term]] = {
    "Relu": lambda b, node: b.clamp(b.term(node.inputs[0]), 0.0, None), "Clip": _clip, "HardSigmoid": _hard_sigmoid,
    "Swish": _swish, "Elu": _elu, "Celu": _celu, "Selu": _selu, "Mish": _mish,
    "Gelu": _gelu, "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Pow": _power,
    "Where": _where, "BatchNormalization": _batch_norm,
    "Reciprocal": lambda b, node: b.binary("div", 1.0, b.term(node.inputs[0])),
}
KNOWN = {*BINARY, *UNARY, *MAKERS}


class Chained:
    """Elementwise steps that become one operation.

    Attributes:
        steps: the steps, in order; the last makes the output.
        operands: values, or constant arrays, that it reads.
        operations: what it does with them.
        unsigned: the values whose zeros may have either sign.
    """

    def __init__(self, steps: Sequence[Any], unsigned: Collection[ir.Value] = (),
                 first: ir.Value | None = None) -> None:
        self.unsigned = unsigned
        builder = _Builder(unsigned)
        if first is not None:
            builder.operand(first)
        for step in steps:
            builder.add(step.node)
        self.steps, self.operands = list(steps), builder.operands
        self.operations = builder.operations()
        self._check_axes()

    def _check_axes(self) -> None:
        """Refuses a chain whose output has axes from a one-element constant alone, since that became a number."""
        axes = [None if each.shape is None else len(each.shape) for each in self.operands]
        if None not in axes and max(filter(None, axes), default=0) < len(self.output.shape or ()):
            raise _Refused

    @property
    def output(self) -> ir.Value:
        """What the last step computes."""
        value: ir.Value = self.steps[-1].outputs[0]
        return value


def is_float(value: ir.Value | None) -> bool:
    """Whether a value is known to be float32 with at least one axis."""
    return (value is not None and value.dtype == ir.DataType.FLOAT and value.shape is not None
            and len(value.shape) > 0)


def built(steps: Sequence[Any], unsigned: Collection[ir.Value] = ()) -> Chained | None:
    """The steps as a chain, or None if they are none."""
    try:
        return Chained(steps, unsigned)
    except _Refused:
        return None


def _is_elementwise(step: Any) -> bool:
    node = step.node
    known = is_quantizer(node) or (node.op_type in KNOWN and node.domain in ("", "ai.onnx"))
    return (known and len(step.outputs) == 1
            and NUMPY not in node.metadata_props
            and is_float(step.outputs[0]) and step.execution == "float"
            and (_tested(node) is not None if node.op_type == "Where" else
                 all(value is None or value.const_value is not None or is_float(value) for value in node.inputs)))


def has_same_shape(a: ir.Value, b: ir.Value) -> bool:
    """Whether two values are known to have one shape."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return all(n == m if isinstance(n, int) or isinstance(m, int) else n.value is not None and n.value == m.value
               for n, m in zip(a.shape, b.shape, strict=True))


def chains_of(steps: Iterable[Any], outputs: Iterable[ir.Value], taken: Iterable[Any],
              unsigned: Collection[ir.Value]) -> dict[Any, Chained]:
    """The chains among steps that nothing else has taken, by the last step of each."""
    steps, taken = [step for step in steps if not step.optional and step.outputs], set(taken)
    able = {step.outputs[0]: step for step in steps if step not in taken and _is_elementwise(step)}
    counts = Counter(value for step in steps for value in step.reads if value is not None)
    counts.update(outputs)
    order = {step: number for number, step in enumerate(steps)}
    found: dict[Any, Chained] = {}
    makers = set(able.values())
    for step in reversed(steps):
        if step in taken or step not in makers:
            continue
        chain = built([step], unsigned)
        if chain is None:
            continue
        if not is_quantizer(step.node):  # its codes are computed from its input
            chain = _grown(chain, able, counts, order, taken)
        found[step] = chain
        taken.update(chain.steps)
    return found


def _grown(chain: Chained, able: dict[ir.Value, Any], counts: Counter[ir.Value], order: dict[Any, int],
           taken: set[Any]) -> Chained:
    """The chain extended by preceding steps that nothing else reads, as many as fit."""
    tried: set[Any] = set()
    while True:
        inside = set(chain.steps)
        before = [able[value] for value in chain.operands if isinstance(value, ir.Value) and value in able]
        before = [step for step in before if step not in taken and step not in tried]
        if not before:
            return chain
        step = max(before, key=order.__getitem__)
        tried.add(step)
        value = step.outputs[0]
        reads = sum(list(each.reads).count(value) for each in inside)
        if reads == counts[value] and has_same_shape(value, chain.output):
            made = built(sorted([*inside, step], key=order.__getitem__), chain.unsigned)
            chain = chain if made is None else made

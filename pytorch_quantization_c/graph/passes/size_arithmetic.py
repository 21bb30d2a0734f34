"""Arithmetic on sizes that may vary, and the operators that exporters use to compute them.

A size is an integer times names, such as "6 * N". A sum or quotient that is not of that form gets a name of its own,
which is the same for the same operands.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .editing import attribute

__all__ = ["COMPUTED", "Size", "Sizes", "added", "divided", "equal", "multiplied", "subtracted"]

MAX_NAME = 200     # characters; a longer expression is unknown


class Size:
    """An integer times named sizes. A size is never negative, unless its name has a minus in it."""

    def __init__(self, number: int, names: tuple[str, ...]) -> None:
        self.number, self.names = number, names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and (self.number, self.names) == (other.number, other.names)

    def __hash__(self) -> int:
        return hash((self.number, self.names))

    def __str__(self) -> str:
        return " * ".join([*([str(self.number)] if self.number != 1 or not self.names else []), *self.names])


Sizes = NDArray[Any]  # of int, bool, Size, or None for what is not known


def _parts(value: Any) -> tuple[int, tuple[str, ...]]:
    return (value.number, value.names) if isinstance(value, Size) else (int(value), ())


def _made(number: int, names: tuple[str, ...]) -> Any:
    return Size(number, names) if names and number else number


def _named(text: str) -> Any:
    return Size(1, (f"({text})",)) if len(text) <= MAX_NAME else None


def _operand(value: Any) -> str:
    return f"({value})" if isinstance(value, Size) and (value.number != 1 or len(value.names) > 1) else str(value)


def multiplied(a: Any, b: Any) -> Any:
    """The product of two sizes or numbers."""
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    return _made(m * n, tuple(sorted(a_names + b_names)))


def added(a: Any, b: Any) -> Any:
    """The sum of two sizes or numbers; None if it is not known."""
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    if a_names == b_names or 0 in (m, n):
        return _made(m + n, a_names if m else b_names)
    return _named(" + ".join(sorted((_operand(a), _operand(b)))))


def subtracted(a: Any, b: Any) -> Any:
    """Their difference; None if it is not known."""
    return added(a, multiplied(b, -1))


def divided(a: Any, b: Any) -> Any:
    """The quotient of two sizes or numbers, rounded down; None if it is not known."""
    (m, left), (n, names) = _parts(a), _parts(b)
    rest = list(left)
    for name in names:
        if name in rest:
            rest.remove(name)
        else:
            return _named(f"{_operand(a)} / {_operand(b)}")
    if n == 0:
        return None
    if m % n == 0:
        return _made(m // n, tuple(rest))
    return _named(f"{_operand(a)} / {_operand(b)}") if rest or len(names) != len(left) or m < 0 or n < 0 else m // n


def equal(a: Any, b: Any) -> Any:
    """Whether they are equal; None if that is not known."""
    if a == b:
        return True
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    if not a_names and not b_names:
        return False
    if (a_names and b_names) or any("-" in name for name in a_names + b_names):
        return None
    return False if m * n < 0 else None  # an axis may be empty, and a quotient zero


def _both(function: Callable[[Any, Any], Any]) -> Callable[[ir.Node, list[Sizes]], Sizes]:
    def compute(node: ir.Node, inputs: list[Sizes]) -> Sizes:
        a, b = np.broadcast_arrays(*inputs)
        made = np.empty(a.shape, object)
        for place in np.ndindex(*a.shape):
            known = a[place] is not None and b[place] is not None
            made[place] = function(a[place], b[place]) if known else None
        return made
    return compute


def _gather(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.asarray(np.take(inputs[0], inputs[1].astype(np.int64), attribute(node, "axis", 0)), object)


def _concat(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.concatenate(inputs, attribute(node, "axis", 0))


def _axes(node: ir.Node, inputs: list[Sizes]) -> tuple[int, ...] | None:
    given = inputs[1] if len(inputs) > 1 else attribute(node, "axes", None)
    return None if given is None else tuple(int(axis) for axis in np.ravel(given))


def _unsqueeze(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.expand_dims(inputs[0], _axes(node, inputs) or ())


def _squeeze(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.squeeze(inputs[0], _axes(node, inputs))


def _slice(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    starts, ends = (each.tolist() for each in inputs[1:3])
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    at = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at[axis] = slice(start, None if step < 0 and end < -inputs[0].shape[axis] else end, step)
    return inputs[0][tuple(at)]


def _reshape(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return inputs[0].reshape(inputs[1].astype(np.int64).tolist())


def _where(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    chosen, a, b = np.broadcast_arrays(*inputs)
    made = np.empty(a.shape, object)
    for place in np.ndindex(*a.shape):
        made[place] = None if chosen[place] is None else a[place] if chosen[place] else b[place]
    return made


def _product(node: ir.Node, inputs: list[Sizes]) -> Sizes | None:
    if inputs[0].ndim != 1 or attribute(node, "noop_with_empty_axes", 0):
        return None
    made = np.empty((1,) if attribute(node, "keepdims", 1) else (), object)
    total: Any = 1
    for each in inputs[0].ravel():
        total = None if total is None or each is None else multiplied(total, each)
    made[...] = total
    return made


def _cast(node: ir.Node, inputs: list[Sizes]) -> Sizes | None:
    """Casts numbers and keeps sizes; a size cannot become a truth value, because it may be zero."""
    dtype = node.outputs[0].dtype
    if dtype == ir.DataType.INT64:
        return inputs[0]
    if dtype is None or any(not isinstance(each, int | bool) for each in inputs[0].ravel()):
        return None if dtype == ir.DataType.BOOL else inputs[0]
    return np.asarray(inputs[0].astype(np.int64).astype(dtype.numpy()).astype(object))


def _filled(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    fill = node.attributes.get("value")
    number = 0 if fill is None else fill.value.numpy().reshape(-1)[0].item()  # float32 by default: not used then
    return np.full(inputs[0].astype(np.int64).tolist(), number, object)


COMPUTED: dict[str, Callable[[ir.Node, list[Sizes]], Sizes | None]] = {
    "Add": _both(added), "Sub": _both(subtracted), "Mul": _both(multiplied), "Div": _both(divided),
    "Equal": _both(equal), "Gather": _gather, "Concat": _concat, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze,
    "Slice": _slice, "Reshape": _reshape, "Where": _where, "ReduceProd": _product, "ConstantOfShape": _filled,
    "Cast": _cast, "Identity": lambda node, inputs: inputs[0],
}

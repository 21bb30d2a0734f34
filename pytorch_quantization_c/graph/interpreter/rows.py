"""Operators along axes: products of matrices, reductions, softmax."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _C
from ...float_nn import functional as F
from ..representation.notes import NUMPY
from .reductions import reduced
from .table import Array, Function, NodeLike, attribute, operator

__all__ = ["product_of"]


@operator("MatMul")
def _matmul(node: NodeLike, opset: int) -> Function:
    return np.matmul if NUMPY in node.metadata_props else _product


def _product(a: Array, b: Array) -> Array:
    """np.matmul, of float32 with sums in one order, so that a program's bits depend on no batch and no thread."""
    if a.dtype != np.float32 or b.dtype != np.float32 or min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        return np.asarray(np.matmul(a, b))
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.ascontiguousarray(np.broadcast_to(each, lead + each.shape[-2:])) for each in (a, b))
    rows, inner, columns = *a.shape[-2:], b.shape[-1]
    count = math.prod(lead)
    return _C.matmul(a.reshape(count, rows, inner), b.reshape(count, inner, columns)).reshape(*lead, rows, columns)


@operator("Gemm")
def _gemm(node: NodeLike, opset: int) -> Function:
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    flip_a, flip_b = attribute(node, "transA", 0), attribute(node, "transB", 0)
    layer = flip_b and not flip_a and alpha == beta == 1

    def run(a: Array, b: Array, c: Any = None) -> Array:
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(f"Expected two matrices, got shapes {a.shape} and {b.shape}")
        if layer and a.dtype.char in "fd" and b.size and a.dtype == b.dtype and (c is None or c.dtype == a.dtype):
            return F.linear(a, b, c)
        y = np.matmul(a.T if flip_a else a, b.T if flip_b else b)
        if alpha != 1:
            y *= y.dtype.type(alpha)
        if c is not None:
            y += c if beta == 1 else c * c.dtype.type(beta)
        return np.asarray(y)
    return run


def product_of(equation: str) -> bool | None:
    """Whether an Einsum multiplies matrices as MatMul does, by its second operand (False) or its transpose (True)."""
    text = "".join(equation.split())
    operands, _, output = text.partition("->")
    a, _, b = operands.partition(",")
    lead = a[:-2]
    if not (a + b + output).isalpha() or len(set(a)) != len(a) or len(a) < 2 or output[:-1] != a[:-1]:
        return None
    inner, column = a[-1], output[-1]
    if column in a or b not in (lead + inner + column, lead + column + inner):
        return None
    return b[-1] == inner


@operator("Einsum", floats=True)
def _einsum(node: NodeLike, opset: int) -> Function:
    equation = attribute(node, "equation")
    flipped = None if NUMPY in node.metadata_props else product_of(equation)

    def run(*arrays: Array) -> Array:
        if flipped is None or len(arrays) != 2 or arrays[0].shape[:-2] != arrays[1].shape[:-2]:
            return np.asarray(np.einsum(equation, *arrays, optimize=len(arrays) > 2))
        a, b = arrays
        return _product(a, b.swapaxes(-1, -2) if flipped else b)
    return run


def _log_sum_exp(x: Array, axis: Any, keepdims: bool) -> Array:
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))
    total = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axis))


REDUCTIONS: dict[str, Callable[[Array, Any, bool], Any]] = {
    "ReduceL1": lambda x, axis, keepdims: reduced("sum", np.abs(x), axis, keepdims),
    "ReduceL2": lambda x, axis, keepdims: np.sqrt(reduced("sum", np.square(x), axis, keepdims)),
    "ReduceMax": lambda x, axis, keepdims: reduced("max", x, axis, keepdims),
    "ReduceMean": lambda x, axis, keepdims: reduced("mean", x, axis, keepdims),
    "ReduceMin": lambda x, axis, keepdims: reduced("min", x, axis, keepdims),
    "ReduceProd": lambda x, axis, keepdims: x.prod(axis=axis, keepdims=keepdims, dtype=x.dtype),
    "ReduceSum": lambda x, axis, keepdims: reduced("sum", x, axis, keepdims),
    "ReduceSumSquare": lambda x, axis, keepdims: reduced("sum", np.square(x), axis, keepdims),
}
#: What NumPy computes of an array as it lies in memory, in traced models.
AS_NUMPY: dict[str, Callable[[Array, Any, bool], Any]] = {
    "ReduceMax": lambda x, axis, keepdims: x.max(axis=axis, keepdims=keepdims),
    "ReduceMean": lambda x, axis, keepdims: x.mean(axis=axis, keepdims=keepdims, dtype=x.dtype),
    "ReduceMin": lambda x, axis, keepdims: x.min(axis=axis, keepdims=keepdims),
    "ReduceSum": lambda x, axis, keepdims: x.sum(axis=axis, keepdims=keepdims, dtype=x.dtype),
}


#: Of integers, whose sums and products wrap around.
OF_INTEGERS: dict[str, Callable[..., Any]] = {"ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod,
                                              "ReduceSum": np.sum}


@operator(*REDUCTIONS, "ReduceLogSumExp")
def _reduce(node: NodeLike, opset: int) -> Function:
    reduce: Callable[[Array, Any, bool], Any] = REDUCTIONS.get(node.op_type, _log_sum_exp)
    if NUMPY in node.metadata_props:
        reduce = AS_NUMPY.get(node.op_type, reduce)
    fixed, keep = attribute(node, "axes"), bool(attribute(node, "keepdims", 1))
    nothing = bool(attribute(node, "noop_with_empty_axes", 0))

    def run(x: Array, axes: Any = None) -> Any:
        chosen = fixed if axes is None else tuple(int(axis) for axis in axes)
        if not chosen:
            if nothing:
                return NotImplemented
            chosen = tuple(range(x.ndim))
        chosen = tuple(axis % x.ndim for axis in chosen)
        if not x.size or (x.dtype.kind == "i") != (x.dtype.char not in "fd"):
            return NotImplemented
        if x.dtype.kind == "i":
            integers = OF_INTEGERS.get(node.op_type)
            found = NotImplemented if integers is None else integers(x, axis=chosen, keepdims=keep)
            return found if found is NotImplemented else np.asarray(found).astype(x.dtype)
        return np.asarray(reduce(x, chosen, keep))
    return run


@operator("Softmax", floats=True)
def _softmax(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", -1)
    return lambda x: F.softmax(x, axis)


@operator("LogSoftmax", floats=True)
def _log_softmax(node: NodeLike, opset: int) -> Function:
    axis = attribute(node, "axis", -1)
    return lambda x: F.log_softmax(x, axis)

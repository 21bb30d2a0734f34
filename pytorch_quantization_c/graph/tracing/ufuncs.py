"""NumPy's ufuncs as operators of ONNX."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .array import Traced, plain
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["call_ufunc"]

OPERATORS: dict[str, str] = {
    "absolute": "Abs", "add": "Add", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
    "arctan": "Atan", "arctanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "divide": "Div",
    "equal": "Equal", "exp": "Exp", "fabs": "Abs", "floor": "Floor", "greater": "Greater",
    "greater_equal": "GreaterOrEqual", "isinf": "IsInf", "isnan": "IsNaN", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not", "logical_or": "Or",
    "logical_xor": "Xor", "matmul": "MatMul", "maximum": "Max", "minimum": "Min", "multiply": "Mul",
    "negative": "Neg", "power": "Pow", "reciprocal": "Reciprocal", "rint": "Round", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "sqrt": "Sqrt", "subtract": "Sub", "tan": "Tan", "tanh": "Tanh",
    "bitwise_and": "BitwiseAnd", "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "invert": "BitwiseNot",
}
OWN = {"MatMul", "Pow", "Tanh"}  # operators that a graph computes by functions of the library unless NumPy's was traced
LOGICAL = {"BitwiseAnd": "And", "BitwiseOr": "Or", "BitwiseXor": "Xor", "BitwiseNot": "Not", "Add": "Or",
           "Mul": "And", "Max": "Or", "Min": "And"}  # of booleans
REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}
NUMBERS = (bool, int, float)


def call_ufunc(recording: Recording, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...],
               kwargs: dict[str, Any]) -> Any:
    """The traced result of a ufunc with a traced array among its inputs."""
    if kwargs.get("out") is not None:
        refuse(f"an in-place `{ufunc.__name__}` (an assignment like `+=`, or `out=`)", "write `x = x + y`")
    if method == "reduce" and ufunc.__name__ in REDUCTIONS:
        kept = {name: value for name, value in kwargs.items() if name not in ("out",)}
        return getattr(np, REDUCTIONS[ufunc.__name__])(*inputs, **kept)
    if method != "__call__":
        refuse(f"`numpy.{ufunc.__name__}.{method}`")
    unknown = set(kwargs) - {"out", "dtype", "casting", "order", "subok"}
    if unknown and not (unknown == {"where"} and kwargs["where"] is True):
        refuse(f"`numpy.{ufunc.__name__}` with {', '.join(f'`{name}`' for name in sorted(unknown))}")
    numpy_kwargs = {name: value for name, value in kwargs.items() if name != "subok"}
    real = ufunc(*(plain(x) for x in inputs), **numpy_kwargs)
    special = SPECIAL.get(ufunc.__name__)
    if special is None and ufunc.__name__ not in OPERATORS:
        refuse(f"`numpy.{ufunc.__name__}`", "ONNX has no operator for it")
    arrays = promoted(recording, ufunc, inputs, kwargs.get("dtype"))
    made = special(recording, *arrays) if special else emitted(recording, OPERATORS[ufunc.__name__], arrays)
    return recording.rebound(made, real)


def promoted(recording: Recording, ufunc: np.ufunc, inputs: tuple[Any, ...], dtype: Any = None) -> list[Any]:
    """The inputs in the types in which NumPy computes."""
    kinds: list[Any] = [type(x) if type(x) in NUMBERS else np.asarray(plain(x)).dtype for x in inputs]
    kinds = kinds if dtype is None else [np.dtype(dtype)] * len(inputs)
    resolved = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    return [recording.cast(x, wanted) for x, wanted in zip(inputs, resolved, strict=False)]


def emitted(recording: Recording, op: str, arrays: list[Any]) -> Any:
    """The node of an operator; of its logical counterpart for booleans."""
    dtype = arrays[0].dtype
    if dtype.kind == "b":
        op = LOGICAL.get(op, op)
        if op in ("Sub", "Neg", "Sign", "Abs", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
            refuse(f"{op} of booleans")
    elif op in ("And", "Or", "Xor", "Not"):
        arrays = [recording.cast(x, np.dtype(bool)) for x in arrays]
    square = op == "Pow" and np.array_equal(plain(arrays[1]), 2)
    return recording.emit(op, *arrays, by_numpy=op in OWN and not square)


def _floats(op: str) -> Callable[..., Any]:
    """Operators that are defined for floats alone."""
    def special(recording: Recording, *arrays: Any) -> Any:
        if arrays[0].dtype.kind != "f":
            refuse(f"{op} of {arrays[0].dtype}")
        return recording.emit(op, *arrays)
    return special


def _clip(recording: Recording, x: Any, low: Any, high: Any) -> Any:
    if np.ndim(low) or np.ndim(high) or isinstance(low, Traced) or isinstance(high, Traced):
        return recording.emit("Min", recording.emit("Max", x, low), high)
    return recording.emit("Clip", x, low, high)


def _logaddexp(recording: Recording, a: Any, b: Any) -> Any:
    for zero, other in ((a, b), (b, a)):
        if not isinstance(zero, Traced) and not np.any(zero) and np.ndim(zero) == 0:
            return recording.emit("Softplus", other)
    refuse("`numpy.logaddexp` of two arrays", "with 0 it is Softplus")


SPECIAL: dict[str, Callable[..., Any]] = {
    "clip": _clip, "logaddexp": _logaddexp,
    "fmod": lambda recording, a, b: recording.emit("Mod", a, b, fmod=1),
    "not_equal": lambda recording, a, b: recording.emit("Not", recording.emit("Equal", a, b)),
    "positive": lambda recording, x: x if isinstance(x, Traced) else recording.constant(x),
    "square": lambda recording, x: recording.emit("Mul", x, x),
    "floor": _floats("Floor"), "ceil": _floats("Ceil"), "rint": _floats("Round"),
}

"""Elementwise operators."""
from __future__ import annotations

from typing import Any

import numpy as np

from ... import _C
from ...float_nn import functional as F
from ...float_nn.functional.activation import expm1_below_zero
from ..representation.notes import NUMPY
from .table import TYPES, Array, Function, NodeLike, attribute, operator

UNARY: dict[str, Function] = {
    "Abs": np.abs, "Acos": np.arccos, "Asin": np.arcsin, "Atan": np.arctan, "Ceil": np.ceil, "Cos": np.cos,
    "Cosh": np.cosh, "Exp": np.exp, "Floor": np.floor, "Log": np.log, "Neg": np.negative, "Round": np.rint,
    "Sign": np.sign, "Sin": np.sin, "Sinh": np.sinh, "Sqrt": np.sqrt, "Tan": np.tan,
}
FLOATS: dict[str, Function] = {"Erf": _C.erf, "Reciprocal": np.reciprocal, "Sigmoid": F.sigmoid, "Tanh": F.tanh}
BY_NUMPY: dict[str, Function] = {"Tanh": np.tanh}  # of what was traced as NumPy's own function
BINARY: dict[str, Function] = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract}
VARIADIC: dict[str, Function] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}


@operator(*UNARY, *BINARY)
def _ufunc(node: NodeLike, opset: int) -> Function:
    return UNARY.get(node.op_type) or BINARY[node.op_type]


@operator(*FLOATS, floats=True)
def _of_floats(node: NodeLike, opset: int) -> Function:
    return (BY_NUMPY if NUMPY in node.metadata_props else FLOATS)[node.op_type]


@operator(*VARIADIC)
def _variadic(node: NodeLike, opset: int) -> Function:
    combine = VARIADIC[node.op_type]

    def run(first: Array, *others: Array) -> Array:
        for other in others:
            first = combine(first, other)
        return first
    return run


@operator("Mean", floats=True)
def _mean(node: NodeLike, opset: int) -> Function:
    return lambda *arrays: sum(arrays[1:], arrays[0]) / arrays[0].dtype.type(len(arrays))


@operator("Div")
def _div(node: NodeLike, opset: int) -> Function:
    def run(a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return np.asarray(np.divide(a, b))
        quotient = np.abs(a) // np.abs(b) if a.dtype.kind == "i" else a // b  # integers are cut off towards zero
        return np.asarray(quotient * (np.sign(a) * np.sign(b)) if a.dtype.kind == "i" else quotient).astype(a.dtype)
    return run


@operator("Pow")
def _pow(node: NodeLike, opset: int) -> Function:
    own = (2,) if NUMPY in node.metadata_props else (2, 3)

    def run(a: Array, b: Array) -> Array:
        if b.size == 1 and b.ravel()[0] in own and b.ndim <= a.ndim and a.dtype.kind == "f":
            return np.asarray(a * a if b.ravel()[0] == 2 else a * a * a)
        return np.asarray(np.power(a, b.astype(a.dtype) if a.dtype.kind == "f" else b)).astype(a.dtype)
    return run


@operator("Relu")
def _relu(node: NodeLike, opset: int) -> Function:
    return lambda x: np.maximum(x, x.dtype.type(0))


@operator("LeakyRelu", floats=True)
def _leaky_relu(node: NodeLike, opset: int) -> Function:
    slope = attribute(node, "alpha", 0.01)
    return lambda x: F.leaky_relu(x, slope)


@operator("PRelu", floats=True)
def _prelu(node: NodeLike, opset: int) -> Function:
    return lambda x, slope: np.where(x < 0, x * slope, x)


@operator("Elu", floats=True)
def _elu(node: NodeLike, opset: int) -> Function:
    alpha = attribute(node, "alpha", 1.0)
    return lambda x: F.elu(x, alpha)


@operator("Selu", floats=True)
def _selu(node: NodeLike, opset: int) -> Function:
    alpha, gamma = attribute(node, "alpha", 1.6732632423543772), attribute(node, "gamma", 1.0507009873554805)

    def run(x: Array) -> Array:
        kind = x.dtype.type
        below = kind(alpha) * expm1_below_zero(np.minimum(x, kind(0)))
        return np.asarray(kind(gamma) * (np.maximum(x, kind(0)) + below))
    return run


@operator("Celu", floats=True)
def _celu(node: NodeLike, opset: int) -> Function:
    alpha = attribute(node, "alpha", 1.0)

    def run(x: Array) -> Array:
        kind = x.dtype.type
        inner = np.minimum(x, kind(0)) / kind(alpha)
        below = kind(alpha) * (np.expm1(inner) if alpha < 0 else expm1_below_zero(inner))
        return np.asarray(np.maximum(x, kind(0)) + below)
    return run


@operator("ThresholdedRelu", floats=True)
def _thresholded_relu(node: NodeLike, opset: int) -> Function:
    alpha = attribute(node, "alpha", 1.0)
    return lambda x: np.where(x > x.dtype.type(alpha), x, x.dtype.type(0))


@operator("HardSigmoid", floats=True)
def _hard_sigmoid(node: NodeLike, opset: int) -> Function:
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)

    def run(x: Array) -> Array:
        kind = x.dtype.type
        return np.asarray(np.clip(x * kind(alpha) + kind(beta), kind(0), kind(1)))
    return run


@operator("HardSwish", floats=True)
def _hard_swish(node: NodeLike, opset: int) -> Function:
    return F.hardswish


@operator("Swish", floats=True)
def _swish(node: NodeLike, opset: int) -> Function:
    alpha = attribute(node, "alpha", 1.0)
    return lambda x: x * F.sigmoid(x * x.dtype.type(alpha))


@operator("Gelu", floats=True)
def _gelu(node: NodeLike, opset: int) -> Function:
    approximate = attribute(node, "approximate", "none")
    return lambda x: F.gelu(x, approximate)


@operator("Softplus", floats=True)
def _softplus(node: NodeLike, opset: int) -> Function:
    return lambda x: np.logaddexp(x.dtype.type(0), x)


@operator("Softsign", floats=True)
def _softsign(node: NodeLike, opset: int) -> Function:
    return lambda x: x / (np.abs(x) + x.dtype.type(1))


@operator("Mish", floats=True)
def _mish(node: NodeLike, opset: int) -> Function:
    """By s (1 + v) / (1 + v^2) with s = sigmoid(x) and v = sigmoid(-x), which is tanh(log(1 + exp(x)))."""
    def run(x: Array) -> Array:
        s, v, one = F.sigmoid(x), F.sigmoid(-x), x.dtype.type(1)
        return np.asarray(s * (v + one) / (v * v + one) * x)
    return run


@operator("Clip")
def _clip(node: NodeLike, opset: int) -> Function:
    fixed = attribute(node, "min"), attribute(node, "max")

    def run(x: Array, low: Any = None, high: Any = None) -> Array:
        low, high = fixed[0] if low is None else low, fixed[1] if high is None else high
        if low is not None:
            x = np.maximum(x, np.asarray(low, x.dtype))
        return x if high is None else np.asarray(np.minimum(x, np.asarray(high, x.dtype)))
    return run


@operator("Identity")
def _identity(node: NodeLike, opset: int) -> Function:
    return lambda x: (x,) if isinstance(x, list) else x  # a list alone would be several results


@operator("Dropout")
def _dropout(node: NodeLike, opset: int) -> Function | None:
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return None
    with_mask = len(node.outputs) > 1 and bool(node.outputs[1].name)
    return (lambda x, *_: (x, np.ones(x.shape, bool))) if with_mask else (lambda x, *_: x)


@operator("Cast")
def _cast(node: NodeLike, opset: int) -> Function | None:
    dtype = TYPES.get(attribute(node, "to"))
    if dtype is None:
        return None

    def run(x: Array) -> Any:
        if x.dtype.kind not in "fiub":
            return NotImplemented
        return x.astype(dtype)
    return run


@operator("CastLike")
def _cast_like(node: NodeLike, opset: int) -> Function:
    def run(x: Array, like: Array) -> Any:
        known = x.dtype in TYPES.values() and like.dtype in TYPES.values()
        return x.astype(like.dtype) if known else NotImplemented
    return run

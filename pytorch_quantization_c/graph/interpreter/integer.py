"""Which nodes are layers that run on integers."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...integer.int4 import KR
from ..nodes import EXECUTION, is_quantizer, quantizer
from ..representation.notes import hidden_quantizer
from ..representation.spec import QuantizerSpec
from .grid import quantizer_behind
from .integer_layer import IntegerLayer, LayerWeight, channel_axis
from .recurrent import CELLS, cells_of
from .recurrent_layer import RecurrentLayer
from .steps import Step
from .table import Array, attribute, constant, function_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["integer_step", "recurrent_step"]

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def _quantized_weight(value: ir.Value | None) -> LayerWeight | None:
    """The constant behind a quantiser that a layer reads, perhaps through a Transpose."""
    node, order = None if value is None else value.producer(), None
    if node is not None and node.op_type == "Transpose" and node.domain == "" and node.inputs[0] is not None:
        order, node = attribute(node, "perm"), node.inputs[0].producer()
        if order is None:
            return None
    if node is None or not is_quantizer(node):
        return None
    found = quantizer(node)
    array = constant(node, 0)
    if array is None or found.amax is None or array.dtype != np.float32:
        return None
    return LayerWeight(array, found.amax, found.spec, order)


def _eligible(spec: QuantizerSpec, axis: int | None, ndim: int) -> bool:
    """Whether integers of 2 to 8 bits with one scale, or one for each index of `axis`, are what a quantiser gives."""
    if isinstance(spec.bits, tuple) or not 2 <= spec.bits <= 8 or spec.block is not None:
        return False
    return spec.axis is None or (axis is not None and spec.axis % ndim == axis)


def _in_groups(x: QuantizerSpec, weight: QuantizerSpec, own: int, shape: tuple[int, ...]) -> bool:
    """Whether a matrix, or a kernel of ones, has 2- to 4-bit integers in groups along its inputs, as `PackedInt4`.

    `own`: its outputs' axis. The range of the input may then be that of each row, or have a zero point.
    """
    ndim = len(shape)
    if weight.block is None or weight.axis is None or weight.scale_bits is not None:
        return False
    if ndim < 2 or math.prod(shape[2:]) != 1 or weight.axis % ndim != 1 - own or weight.block % KR:
        return False
    if weight.bits not in (2, 3, 4) or weight.zero_point or not isinstance(x.bits, int) or not 2 <= x.bits <= 8:
        return False
    if x.zero_point or x.two_sided:
        return x.axis is None and x.block is None and x.bound - x.low == 2 ** x.bits - 1
    return x.block is None and x.axis in (None, 0)


def _bias(node: ir.Node, outputs: int) -> tuple[bool, Array | None]:
    """Whether a layer's own bias is one that integers know, and the bias."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True, None
    array = constant(node, 2)
    known = array is not None and array.dtype == np.float32 and array.size == outputs and array.shape[-1:] == (outputs,)
    return known, array.reshape(-1) if known and array is not None else None


def _plain_gemm(node: ir.Node) -> bool:
    return node.op_type != "Gemm" or (attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
                                      and not attribute(node, "transA", 0))


def _outputs(node: ir.Node, weight: LayerWeight) -> int:
    axis = channel_axis(node, weight.array.ndim)
    own = axis if weight.order is None else weight.order[axis]
    groups = attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
    return int(weight.array.shape[own]) * groups


def integer_step(node: ir.Node, opset: int, added: Array | None = None) -> Step | None:
    """The step of a layer on integers; None if it is none, or if its quantisers are others than integers can do.

    `added`: what an Add behind a MatMul adds, one number for each output.
    """
    value = node.inputs[0] if node.op_type in LAYERS and node.domain == "" else None
    x = quantizer_behind(value)
    if value is None or x is None or not _plain_gemm(node) or node.metadata_props.get(EXECUTION) == "float":
        return None
    weight = _quantized_weight(node.inputs[1])
    if weight is None or (node.op_type in ("Gemm", "MatMul") and weight.array.ndim != 2):
        return None
    axis = channel_axis(node, weight.array.ndim)
    own = axis if weight.order is None else weight.order[axis]
    plain = function_of(node, opset)
    ndim, rows = weight.array.ndim, x.spec.axis == 0 and x.amax is None and weight.array.ndim == 2
    grouped = (_in_groups(x.spec, weight.spec, own, weight.array.shape) and (x.spec.axis is None or rows)
               and attribute(node, "group", 1) == 1 and node.op_type != "ConvTranspose")
    by_row = rows and not any(spec.zero_point or spec.two_sided for spec in (x.spec, weight.spec))
    eligible = _eligible(x.spec, 0 if by_row else None, ndim) and _eligible(weight.spec, own, ndim)
    if plain is None or not (grouped or eligible):
        return None
    known, bias = _bias(node, _outputs(node, weight)) if node.op_type != "MatMul" else (True, added)
    if not known:
        return None
    layer = IntegerLayer(node, opset, x, weight, bias, plain[0])
    return Step(node, [x.input if x.output is value else value], layer, "int8")


def recurrent_step(node: ir.Node, opset: int) -> Step | None:
    """The step of an LSTM or a GRU on integers; None if it is none, or not quantised as integers can do it."""
    if node.op_type not in CELLS or node.domain != "" or len(node.inputs) < 3:
        return None
    value, hidden, cells = node.inputs[0], hidden_quantizer(node), cells_of(node)
    x = quantizer_behind(value)
    if value is None or x is None or hidden is None or cells is None or node.metadata_props.get(EXECUTION) == "float":
        return None
    weight, recurrent = (_quantized_weight(each) for each in node.inputs[1:3])
    rest = [*node.inputs[3:], *[None] * 5][:5]
    bias, plain = None if rest[0] is None else constant(node, 3), function_of(node, opset)
    if weight is None or recurrent is None or plain is None or rest[4] is not None or (rest[0] and bias is None):
        return None
    if not (_eligible(x.spec, None, 0) and all(_eligible(each.spec, 1, 3) for each in (weight, recurrent))
            and _eligible(hidden.spec, None, 0)):
        return None
    try:
        layer = RecurrentLayer(node, opset, x, weight, recurrent, hidden, bias, plain[0])
    except ValueError:  # ranges with zero points, or weights that have no integers
        return None
    states = rest[1:4] if cells.is_lstm else rest[1:3]
    return Step(node, [x.input if x.output is value else value, *states], layer, "int8")


"""Which convolutions of floats multiply frames of a row, and the operations that they become."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ...float_nn.functional.conv import is_framed
from ..interpreter.table import attribute, constant
from .frames import FrameProduct
from .operations import FLOATS, Chain, ChainOp, Key, array_of
from .operations import MAX_OPERANDS as RESULT
from .strided import Moved

if TYPE_CHECKING:
    from .lower import Lowering

__all__ = ["is_frame_product", "lower_frame_product"]


def is_frame_product(step: Any) -> bool:
    """Whether a step is a convolution of floats that `float_nn` computes by frames, with a constant weight."""
    node = step.node
    if node.op_type != "Conv" or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return False
    weight, bias, x = constant(node, 1), constant(node, 2), node.inputs[0]
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    arrays = [weight, *([bias] if has_bias else [])]
    if any(each is None or each.dtype != np.float32 or not each.size for each in arrays) or weight is None:
        return False
    if x.dtype != ir.DataType.FLOAT or x.shape is None or len(x.shape) != 3 or weight.ndim != 3:
        return False
    plain = attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "", "VALID")
    padding = attribute(node, "pads", (0, 0)) if attribute(node, "auto_pad", "NOTSET") != "VALID" else (0, 0)
    return plain and is_framed(1, weight.shape[1], attribute(node, "group", 1), padding,
                               attribute(node, "dilations", (1,)))


def lower_frame_product(lowering: Lowering, step: Any) -> bool:
    """Lowers a step if it is one of these."""
    if not is_frame_product(step):
        return False
    node, value = step.node, step.outputs[0]
    name, weight, bias = node.name or value.name or "", constant(node, 1), constant(node, 2)
    assert weight is not None
    floats = Key(lowering.number(value), FLOATS)
    codes = [key for key in lowering.split(value, matrix=False) if key != floats]
    if codes:
        lowering.operations.append(Chain(name, [floats], [], codes, image=True))
    made = floats
    if bias is not None:
        made = Key(lowering.fresh(), FLOATS)
        column = lowering.constant(bias.reshape(-1, 1), 3)
        lowering.operations.append(Chain(name, [made, column], [ChainOp("add", 0, 1, RESULT)], [floats], image=True))
    frames, matrix = lowering.fresh(), lowering.fresh()
    lowering.more_constants[matrix] = np.ascontiguousarray(weight[:, 0].T)
    lowering.operations.append(FrameProduct(name, array_of(frames), array_of(matrix), made))
    moved = Moved(name, "frames", [weight.shape[2], *attribute(node, "strides", (1,))], [], array_of(frames))
    lowering.operations.append(moved)
    moved.inputs = [lowering.want(step.reads[0])]
    return True

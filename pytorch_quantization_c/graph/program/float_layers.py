"""Which convolutions of floats a program computes itself."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...float_nn.functional.mirrored import folded_weight, is_mirrored
from ..interpreter.table import attribute, constant
from .float_conv import MAX_WEIGHTS, FloatConv
from .layers import windows_of
from .operations import Window, array_of
from .transposed import Spread, transposed_of

__all__ = ["FloatLayer", "float_layer"]


class FloatLayer(NamedTuple):
    """A step that convolves floats: weight (outputs, inputs of a group, height, width), bias, groups, windows.

    The weight of a convolution of volumes has one axis more, and z is the window along it.
    spread: what becomes of its channels, if they are the pixels of blocks.
    mirrored: its windows are folded, see `float_nn.functional.mirrored`.
    """

    step: Any
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    groups: int
    y: Window
    x: Window
    z: Window = Window(1)
    mirrored: bool = False
    spread: Spread | None = None

    @property
    def output(self) -> ir.Value:
        """The value it computes."""
        value: ir.Value = self.step.outputs[0]
        return value

    def operation(self, name: str) -> FloatConv:
        """The operation it becomes, without inputs and outputs."""
        outputs, inputs = self.weight.shape[:2]
        y, x = (Window(1), Window(1)) if self.mirrored else (self.y, self.x)
        return FloatConv(name, array_of(-1), array_of(-1), self.groups, inputs, outputs // self.groups, y, x, z=self.z)


def float_layer(step: Any) -> FloatLayer | None:
    """A convolution of floats along one to three axes by a constant weight; None for anything else."""
    node = step.node
    if node.op_type not in ("Conv", "ConvTranspose") or node.domain not in ("", "ai.onnx") or step.execution != "float":
        return None
    x, weight, bias = node.inputs[0], constant(node, 1), constant(node, 2)
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    if weight is None or (given and bias is None) or x.dtype != ir.DataType.FLOAT or x.shape is None:
        return None
    if weight.ndim not in (3, 4, 5) or len(x.shape) != weight.ndim or any(
            each is not None and (each.dtype != np.float32 or not each.size)
            for each in (weight, bias)):
        return None
    if node.op_type == "ConvTranspose":
        return _transposed_layer(step, weight, bias)
    row = weight.ndim == 3
    if row:
        weight = weight[:, :, None]
    groups, windows = attribute(node, "group", 1), windows_of(node, weight.shape[2:])
    if windows is None or groups < 1 or len(weight) % groups:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    *z, y, x_window = windows
    mirrored = row and x_window.dilation == 1 and is_mirrored(weight[:, :, 0], groups)
    if mirrored:
        groups, weight = 2, folded_weight(weight[:, :, 0])[:, :, None]
    found = FloatLayer(step, weight, bias, groups, y, x_window, z[0] if z else Window(1), mirrored)
    return found if found.operation("").weights <= MAX_WEIGHTS else None


def _transposed_layer(step: Any, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> FloatLayer | None:
    found = transposed_of(step.node, weight.shape[2:])
    if found is None or not found.is_blockwise or (bias is not None and bias.shape != weight.shape[1:2]):
        return None
    made = found.weight(weight if weight.ndim > 3 else weight[:, :, None])
    biases = None if bias is None else np.tile(bias, len(made) // len(bias))
    *z, y, x = found.windows
    layer = FloatLayer(step, made, biases, 1, y, x, z[0] if z else Window(1), spread=found.spread)
    return layer if layer.operation("").weights <= MAX_WEIGHTS else None

"""Layers that run on integers: where their weights, channels and biases are."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .editing import attribute, floats, is_op, rank

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
RECURRENT = ("LSTM", "GRU")


@dataclass(frozen=True)
class Layer:
    """A product of an activation (input 0) and a constant weight (input 1).

    Attributes:
        node: Conv, ConvTranspose, Gemm or MatMul.
        weight: the constant.
        out_axis: the weight's axis of output channels; with `groups` > 1 a ConvTranspose has one group's there.
        groups: 1 but for grouped convolutions.
        channels: number of output channels.
        channel_axis: axis of the channels in the output, from the front for convolutions, else -1.
    """

    node: ir.Node
    weight: NDArray[np.float32]
    out_axis: int
    groups: int
    channels: int
    channel_axis: int

    @property
    def bias(self) -> NDArray[np.float32] | None:
        """The bias as one number a channel; None if there is none, or one of another form."""
        if self.node.op_type == "MatMul" or len(self.node.inputs) < 3 or self.node.inputs[2] is None:
            return None
        array = floats(self.node.inputs[2])
        return None if array is None else as_channels(array, array.ndim, array.ndim - 1, self.channels)

    @property
    def has_other_bias(self) -> bool:
        """Whether there is a bias that is not one constant a channel."""
        given = len(self.node.inputs) > 2 and self.node.inputs[2] is not None
        return self.node.op_type != "MatMul" and given and self.bias is None

    def scaled(self, factor: NDArray[np.float64]) -> NDArray[np.float32]:
        """The weight with each output channel times its factor."""
        weight = self.weight.astype(np.float64)
        if self.node.op_type == "ConvTranspose" and self.groups > 1:
            split = weight.reshape(self.groups, -1, *weight.shape[1:])
            wide = factor.reshape(self.groups, 1, -1, *[1] * (weight.ndim - 2))
            weight = (split * wide).reshape(weight.shape)
        else:
            weight = weight * along(factor, weight.ndim, self.out_axis)
        return np.asarray(weight, np.float32)

    def input_scaled(self, factor: NDArray[np.float64]) -> NDArray[np.float32]:
        """The weight with each input channel times its factor."""
        weight = self.weight.astype(np.float64)
        if self.node.op_type == "Conv" and self.groups > 1:
            split = weight.reshape(self.groups, -1, *weight.shape[1:])
            wide = factor.reshape(self.groups, 1, -1, *[1] * (weight.ndim - 2))
            weight = (split * wide).reshape(weight.shape)
        else:
            axis = 0 if self.node.op_type == "ConvTranspose" else 1 - self.out_axis
            weight = weight * along(factor, weight.ndim, axis)
        return np.asarray(weight, np.float32)

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        if self.node.op_type == "Conv":
            return int(self.weight.shape[1]) * self.groups
        return int(self.weight.shape[0 if self.node.op_type == "ConvTranspose" else 1 - self.out_axis])


def layer_of(node: ir.Node | None) -> Layer | None:
    """How the node is a layer; None if it is none, or its weight is not a constant of float32."""
    if node is None or not is_op(node, *PRODUCTS) or len(node.inputs) < 2:
        return None
    weight = floats(node.inputs[1])
    if weight is None or weight.size == 0:
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        return _convolution(node, weight)
    if weight.ndim != 2 or attribute(node, "transA", 0):
        return None
    transposed = bool(attribute(node, "transB", 0))
    return Layer(node, weight, 0 if transposed else 1, 1, weight.shape[0 if transposed else 1], -1)


def _convolution(node: ir.Node, weight: NDArray[np.float32]) -> Layer | None:
    groups = int(attribute(node, "group", 1))
    if weight.ndim < 3 or groups < 1 or weight.shape[0] % groups:
        return None
    transposed = node.op_type == "ConvTranspose"
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return Layer(node, weight, int(transposed), groups, channels, 1)


def along(vector: NDArray[Any], axes: int, axis: int) -> NDArray[Any]:
    """A vector reshaped to broadcast along one axis of an array of that rank."""
    return vector.reshape([-1 if at == axis % axes else 1 for at in range(axes)])


def as_channels(array: NDArray[Any], axes: int | None, axis: int, channels: int) -> NDArray[Any] | None:
    """A constant that is added to a value of `axes` axes, as one number a channel; None if it varies elsewhere."""
    if array.size == 1 and (axes is None or array.ndim <= axes):
        return np.full(channels, array.reshape(()))
    if axes is None or array.ndim > axes:
        return None
    shape = (1,) * (axes - array.ndim) + array.shape
    wanted = tuple(channels if at == axis % axes else 1 for at in range(axes))
    return array.reshape(-1) if shape == wanted else None


def output_rank(layer: Layer) -> int | None:
    """Number of axes of the layer's output."""
    if layer.node.op_type in ("Conv", "ConvTranspose"):
        return layer.weight.ndim
    return 2 if layer.node.op_type == "Gemm" else rank(layer.node.outputs[0])

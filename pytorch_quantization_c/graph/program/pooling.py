"""Which averages a program computes itself, and which reshapes only make rows of pixels."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..interpreter.table import attribute, constant
from ..nodes import is_quantizer, quantizer
from .chains import is_float
from .layers import plane_windows_of
from .natures import rank_of
from .operations import FLOATS, Average, Key, Window

__all__ = ["average_of", "pixels_first", "row_of"]

ONE = Window(1)


def _is_mean(node: ir.Node) -> bool:
    """Whether a node averages all pixels of each channel."""
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean" or not attribute(node, "keepdims", 1):
        return False
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    axes = constant(node, 1) if given else attribute(node, "axes")
    return axes is not None and sorted(int(axis) % 4 for axis in np.ravel(axes)) == [2, 3]


def average_of(step: Any) -> Average | None:
    """The average that a step computes, without inputs and outputs; None if there is no kernel for it."""
    node, value = step.node, step.reads[0] if step.reads else None
    if node.domain not in ("", "ai.onnx") or value is None or not is_float(value) or rank_of(value) != 4:
        return None
    if _is_mean(node):
        return Average(node.name or "", Key(-1, FLOATS), [], ONE, ONE, whole=True)
    kernel = tuple(attribute(node, "kernel_shape", ())) if node.op_type == "AveragePool" else ()
    windows = plane_windows_of(node, kernel)
    ceil, padded = bool(attribute(node, "ceil_mode", 0)), bool(attribute(node, "count_include_pad", 0))
    if windows is None or (ceil and padded):
        return None
    return Average(node.name or "", Key(-1, FLOATS), [], *windows, ceil, padded)


def row_of(step: Any) -> tuple[int, int] | None:
    """The channels and pixels per image, of known number, that a step flattens to rows; else None."""
    node, value = step.node, step.reads[0] if step.reads else None
    if node.op_type not in ("Flatten", "Reshape", "Squeeze") or node.domain not in ("", "ai.onnx"):
        return None
    while value is not None and (producer := value.producer()) is not None and is_quantizer(producer):
        value = quantizer(producer).input
    made = step.outputs[0]
    if value is None or value.shape is None or rank_of(value) != 4 or rank_of(made) != 2:
        return None
    sizes = list(value.shape)[1:]
    channels, height, width = (size if isinstance(size, int) else 0 for size in sizes)
    pixels = height * width
    return (channels, pixels) if channels * pixels > 0 and made.shape[1] == channels * pixels else None


def pixels_first(weight: NDArray[np.int8], channels: int) -> NDArray[np.int8]:
    """The weights of a linear layer: (outputs, 1, 1, channels * pixels) to (outputs, 1, 1, pixels * channels)."""
    parts = weight.reshape(len(weight), channels, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(parts).reshape(weight.shape)

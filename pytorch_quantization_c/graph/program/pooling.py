"""Which averages a program computes itself, and which reshapes only make rows of pixels."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute, constant
from ..nodes import is_quantizer, quantizer
from .chains import is_float
from .layers import windows_of
from .natures import rank_of
from .operations import FLOATS, Average, Key, Window

__all__ = ["average_of", "is_row"]

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
    """The average that a step computes, without what it reads and writes; None if a program has no kernel for it."""
    node, value = step.node, step.reads[0] if step.reads else None
    if node.domain not in ("", "ai.onnx") or value is None or not is_float(value) or rank_of(value) != 4:
        return None
    if _is_mean(node):
        return Average(node.name or "", Key(-1, FLOATS), [], ONE, ONE, whole=True)
    kernel = tuple(attribute(node, "kernel_shape", ())) if node.op_type == "AveragePool" else ()
    windows = windows_of(node, kernel) if len(kernel) == 2 else None
    ceil, padded = bool(attribute(node, "ceil_mode", 0)), bool(attribute(node, "count_include_pad", 0))
    if windows is None or (ceil and padded):
        return None
    return Average(node.name or "", Key(-1, FLOATS), [], *windows, ceil, padded)


def is_row(step: Any) -> bool:
    """Whether a step makes rows of images that are known to have one pixel: their channels."""
    node, value = step.node, step.reads[0] if step.reads else None
    if node.op_type not in ("Flatten", "Reshape", "Squeeze") or node.domain not in ("", "ai.onnx"):
        return False
    while value is not None and value.producer() is not None and is_quantizer(value.producer()):
        value = quantizer(value.producer()).input
    made = step.outputs[0]
    if value is None or rank_of(value) != 4 or rank_of(made) != 2:
        return False
    channels, pixels = value.shape[1], (value.shape[2], value.shape[3])
    return isinstance(channels, int) and pixels == (1, 1) and made.shape[1] == channels

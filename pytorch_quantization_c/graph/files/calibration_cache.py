"""The ranges of a graph's activations as the calibration caches that TensorRT and onnxruntime keep."""
from __future__ import annotations

import os
import struct

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.errors import shown
from ..._core.files import write_file
from ..errors import GraphError
from ..nodes import checked_graph, quantizers

__all__ = ["save_calibration_cache"]

TARGETS = ("tensorrt", "onnxruntime")
HEADER = "TRT-100000-EntropyCalibration2"
BOUND = np.float32(127)


def save_calibration_cache(model: ir.Model, path: str | os.PathLike[str], target: str = "tensorrt") -> None:
    """Writes the ranges of the quantised activations, by the names of the values that are quantised.

    Args:
        model: a graph whose quantisers have ranges.
        path: an existing file is replaced once the new one is complete.
        target: "tensorrt": the text of its INT8 calibrators, a header and for each value its scale, amax / 127, as the
            hexadecimal digits of a float32, highest byte first; "onnxruntime": its `calibration.cache`, for each value
            its amax as a number. Of a range that is not symmetric, the magnitude of its larger end.

    Raises:
        GraphError: an activation without one fixed range, or no quantised activation.
        ValueError: another target.
        TypeError: `model` is not a graph.
    """
    checked_graph(model)
    if target not in TARGETS:
        raise ValueError(f"Expected `target` to be 'tensorrt' or 'onnxruntime', got {shown(target)}")
    found: dict[str, np.float32] = {}
    for each in quantizers(model):
        if each.is_weight:
            continue
        if each.amax is None or each.amax.size != 1 or not isinstance(each.spec.bits, int):
            raise GraphError(f"Expected quantiser {each.name!r} to have one fixed range of integers: a cache has one "
                             "number for each value")
        name, largest = str(each.input.name), _largest(each.amax, each.spec.bound, each.spec.low, each.spec.zero_point)
        found[name] = max(found.get(name, np.float32(0)), largest)
    if not found:
        raise GraphError("Expected a model with quantised activations, got none")
    if target == "tensorrt":
        lines = [HEADER, *(f"{name}: {struct.pack('>f', amax / BOUND).hex()}" for name, amax in found.items())]
    else:
        lines = [f"{name} {float(found[name])}" for name in sorted(found)]
    write_file(path, ("\n".join(lines) + "\n").encode())


def _largest(amax: NDArray[np.float32], bound: float, low: float, zero: int | tuple[int, ...] | None) -> np.float32:
    """The magnitude of the larger end of a range whose width, or half, is amax."""
    point = int(zero) if isinstance(zero, int) else 0
    levels = max(bound - point, point - low if point != 0 else 0)
    return np.float32(np.float32(amax.item()) * np.float32(levels / bound))

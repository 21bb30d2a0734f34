"""The ONNX nodes of the quantisers, built by `g.op(name, ...)` of the exporter's graph builder."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import shown
from .formats import E4M3, Int

# onnx.TensorProto.DataType
FLOAT, UINT8, INT8, FLOAT16, DOUBLE, BFLOAT16, FLOAT8E4M3FN = 1, 2, 3, 10, 11, 16, 17
INTEGER_TYPES = {(4, False): 22, (4, True): 21, (8, False): INT8, (8, True): UINT8, (16, False): 5, (16, True): 4}
OTHER_TYPES = {"Half": FLOAT16, "BFloat16": BFLOAT16, "Double": DOUBLE}

TINY = 2.0 ** -24                                       # integers: up to here an amax quantises everything to 0
MIN_SCALE = float(np.finfo(np.float32).tiny)          # which does that in a file, where no scale may be 0

Constant = Callable[[NDArray[Any]], Any]
Annotate = Callable[[Any, Any, str], Any]


def _described(value: Any, method: str) -> Any:
    """What the graph knows of a value: "scalarType" or "dim"; None if it knows nothing."""
    try:
        return getattr(value.type(), method)()
    except AttributeError:
        return None


def _between_casts(g: Any, inputs: object, body: Callable[[Any], Any]) -> Any:
    """`body` in float32: the quantising nodes of the runtimes take nothing else."""
    other = OTHER_TYPES.get(_described(inputs, "scalarType"))
    if other is None:
        return body(inputs)
    return g.op("Cast", body(g.op("Cast", inputs, to_i=FLOAT)), to_i=other)


def _channel_axis(shape: tuple[int, ...], rank: int | None) -> int:
    """Axis of the inputs that an amax of this shape varies along; negative if the rank is not known."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1:
        raise ValueError(f"ONNX does not support multi-axis quantization: expected `amax` to vary along one axis, "
                         f"got shape {shape}")
    return long[0] - len(shape) + (0 if rank is None else rank)


def _finite(amax: object) -> NDArray[np.float32]:
    """amax in float32. ValueError for one that no runtime could compute with."""
    numbers = np.asarray(amax, np.float32)
    if not np.isfinite(numbers).all():
        found = numbers[~np.isfinite(numbers)].flat[0]
        raise ValueError(f"Expected a finite `amax` for ONNX export, got {found}: "
                         "calibrate again, without batches that hold NaN or infinities")
    return numbers


def int8_symbolic(g: Any, inputs: object, amax: NDArray[Any], num_bits: int, unsigned: bool, narrow_range: bool,
                  constant: Constant = np.asarray) -> Any:
    """QuantizeLinear and DequantizeLinear with the scale amax / bound; the smallest normal one if all is 0.

    Args:
        g: the graph; `g.op(name, *inputs, **attributes)` adds a node and returns its output.
        inputs: the value to quantise.
        amax: an array of one element, or with one axis longer than 1.
        constant: makes the host's array, for attributes that hold one.

    Raises:
        ValueError: not 8 bits, signed and narrow (ONNX has no such range), amax over several axes or not finite.
    """
    if num_bits != 8:
        raise ValueError(f"Only INT8 ONNX export is supported: expected `num_bits` 8, got {shown(num_bits)}")
    if narrow_range and not unsigned:
        raise ValueError("ONNX has no narrow signed range: expected `narrow_range` False, got True")
    largest = _finite(amax)
    scale = np.where(largest <= TINY, np.float32(MIN_SCALE), largest / np.float32(Int(8, unsigned).bound))
    axis = None
    if scale.size == 1:
        zero = np.zeros((), np.float32)
        scale = scale.reshape(())
    else:
        axis = _channel_axis(scale.shape, _described(inputs, "dim"))
        scale = scale.reshape(-1)
        zero = np.zeros(scale.shape, np.int32)
    zero_point = g.op("Cast", g.op("Constant", value_t=constant(zero)), to_i=UINT8 if unsigned else INT8)
    step = g.op("Constant", value_t=constant(scale))

    def pair(value: object) -> Any:
        integers = g.op("QuantizeLinear", value, step, zero_point, axis_i=axis)
        return g.op("DequantizeLinear", integers, step, zero_point, axis_i=axis)

    return _between_casts(g, inputs, pair)


def _unannotated(node: object, inputs: object, kind: str) -> Any:
    return node


def e4m3_symbolic(g: Any, inputs: object, amax: object = None, constant: Constant = np.asarray,
                  annotate: Annotate = _unannotated) -> Any:
    """TensorRT's FP8 nodes with the scale amax / 448, or 1 without amax.

    `annotate(node, inputs, kind)` may set a node's type, `kind` being "uint8" or "float32"; its shape is that of
    `inputs`. ValueError if amax has more than one element: the nodes know no other.
    """
    scale: Any = np.float32(1)
    if amax is not None:
        largest = _finite(amax)
        if largest.size != 1:
            raise ValueError("E4M3 is exported with one scale: expected `amax` of one element, "
                             f"got shape {largest.shape}")
        with np.errstate(divide="ignore"):
            forward = np.float32(E4M3.bound) / largest.reshape(())
        scale = np.maximum(np.float32(1) / forward, np.float32(MIN_SCALE))

    def pair(value: object) -> Any:
        step = g.op("Constant", value_t=constant(np.asarray(scale, np.float32)))
        stored = annotate(g.op("trt::TRT_FP8QuantizeLinear", value, step), inputs, "uint8")
        step = g.op("Constant", value_t=constant(np.asarray(scale, np.float32)))
        return annotate(g.op("trt::TRT_FP8DequantizeLinear", stored, step), inputs, "float32")

    return _between_casts(g, inputs, pair)


def float8_symbolic(g: Any, inputs: object, amax: object = None, constant: Constant = np.asarray) -> Any:
    """The standard's nodes for E4M3, which opset 19 brought, with the scale amax / 448, or 1 without amax.

    ValueError if amax has more than one element.
    """
    largest = _finite(E4M3.bound if amax is None else amax)
    if largest.size != 1:
        raise ValueError(f"E4M3 is exported with one scale: expected `amax` of one element, got shape {largest.shape}")
    scale = (largest / np.float32(E4M3.bound)).reshape(())
    step = g.op("Constant", value_t=constant(np.maximum(scale, np.float32(MIN_SCALE))))
    zero_point = g.op("Cast", g.op("Constant", value_t=constant(np.zeros((), np.float32))), to_i=FLOAT8E4M3FN)
    return _between_casts(g, inputs, lambda value: g.op(
        "DequantizeLinear", g.op("QuantizeLinear", value, step, zero_point), step, zero_point))

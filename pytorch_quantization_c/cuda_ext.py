"""The original's compiled functions under their names. Nothing here needs CUDA; `out=` is new."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _C
from ._arrays import axis_index, float_array, number_array

__all__ = ["fake_e4m3fy", "fake_tensor_quant", "fake_tensor_quant_", "fake_tensor_quant_with_axis"]


def _single(amax: ArrayLike, inputs: Any) -> ArrayLike:
    """amax as 0-d; ValueError if it has more than one element, or none."""
    if isinstance(amax, float | int):
        return amax
    array = number_array(amax, "amax")
    if array.size != 1:
        raise ValueError(f"Expected `amax` of one element, got shape {array.shape} for inputs of shape "
                         f"{np.shape(inputs)}")
    return array.reshape(()) if isinstance(amax, np.ndarray) else array.item()


def fake_tensor_quant(inputs: ArrayLike, amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                      narrow_range: bool = True, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Quantises and dequantises with one amax.

    Args:
        inputs: float16, bfloat16, float32 or float64, any shape.
        amax: one number >= 0.
        num_bits, unsigned, narrow_range: as for `tensor_quant.tensor_quant`.
        out: array of the shape and type of `inputs` that takes the result; `inputs` itself is allowed.

    Raises:
        TypeError: inputs are not floats, or negative with `unsigned`.
        ValueError: amax of another size, or negative; bits out of range; `out` of another shape or type.
    """
    return _C.fake_quant(inputs, _single(amax, inputs), num_bits, unsigned, narrow_range, out)


def fake_tensor_quant_(inputs: NDArray[Any], amax: ArrayLike, num_bits: int = 8, unsigned: bool = False,
                       narrow_range: bool = True) -> None:
    """`fake_tensor_quant` in place.

    Args:
        inputs: an array of float16, bfloat16, float32 or float64, any shape, which takes the result.
        amax, num_bits, unsigned, narrow_range: as for `fake_tensor_quant`.

    Raises:
        TypeError: inputs are no array, no floats, or negative with `unsigned`.
        ValueError: amax of another size, or negative; bits out of range; inputs that cannot be written. After an
            exception the array is as it was.
    """
    if not isinstance(inputs, np.ndarray):
        raise TypeError(f"Expected `inputs` to be an array, got {type(inputs).__name__}")
    _C.fake_quant(inputs, _single(amax, inputs), num_bits, unsigned, narrow_range, inputs)


def fake_tensor_quant_with_axis(inputs: ArrayLike, amax: ArrayLike, axis: int, num_bits: int = 8,
                                unsigned: bool = False, narrow_range: bool = True,
                                out: NDArray[Any] | None = None) -> NDArray[Any]:
    """`fake_tensor_quant` with an amax for each index of an axis.

    Args:
        inputs: float16, bfloat16, float32 or float64, any shape with at least one axis.
        amax: `inputs.shape[axis]` numbers >= 0, in any shape.
        axis: which axis; negative ones count from the end.
        num_bits, unsigned, narrow_range, out: as for `fake_tensor_quant`.

    Raises:
        TypeError: inputs are not floats, or negative with `unsigned`.
        ValueError: amax of another size, or negative; bits out of range; `out` of another shape or type.
        AxisError: there is no such axis.
    """
    shape = float_array(inputs, "inputs").shape
    index = axis_index(axis, len(shape))
    array = number_array(amax, "amax")
    if array.size != shape[index]:
        raise ValueError(f"Expected `amax` of size {shape[index]}, got shape {array.shape} for inputs of shape {shape} "
                         f"along axis {axis}")
    broadcast = [1] * len(shape)
    broadcast[index] = array.size
    return _C.fake_quant(inputs, array.reshape(broadcast), num_bits, unsigned, narrow_range, out)


def fake_e4m3fy(inputs: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Rounds to the 8-bit floats E4M3: nearest even, saturating at 448, NaN kept.

    Args:
        inputs: float16, bfloat16, float32 or float64, any shape.
        out: array of the shape and type of `inputs` that takes the result; `inputs` itself is allowed.

    Raises:
        TypeError: inputs are not floats. ValueError: `out` of another shape or type.
    """
    return _C.e4m3(inputs, None, out)

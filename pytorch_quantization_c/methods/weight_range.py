"""Ranges of weights by the least squared error, for each output channel or each group of columns."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import checked_bits, checked_group, checked_inputs, checked_weight, second_moment
from .output_range import output_ranges
from .squares_range import least_squares_range

__all__ = ["weight_range"]


def weight_range(weight: ArrayLike, inputs: ArrayLike | None = None, *, num_bits: int = 4,
                 group_size: int | None = None) -> NDArray[Any]:
    """The range of each row, or of each group of its columns, whose rounding has the least squared error.

    Clipping a few large weights makes the steps of all others finer: with normal weights of 4 bits the squared error
    is about a third less than with the largest magnitudes (section 3 of Banner, Nahshan, Soudry: Post Training 4-bit
    Quantization of Convolutional Networks for Rapid-Deployment, 2019; the error is counted here, not modelled).
    Ranges from a tenth of the largest magnitude up are tried; with `inputs` then up to 64 around the best one, by the
    outputs. AWQ (Lin et al. 2023) does the latter after its scales, of each group for its own outputs.

    Args:
        weight: (out, in).
        inputs: (rows, in), what the layer is given: then the error is that of the outputs, the errors of all groups
            of a row added up. None: the error is that of the weights.
        num_bits: 2 to 8, of symmetric integers without the lowest one.
        group_size: columns that share a range, a divisor of in; None: all of them.

    Returns:
        amax, (out,), or (out, in / group_size) with a `group_size`, of the type of `weight`.

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, another shape, numbers out of range, a `group_size` that does not divide in.
    """
    matrix = checked_weight(weight)
    bits, size = checked_bits(num_bits), checked_group(group_size, matrix.shape[1])
    if not matrix.shape[1]:
        return np.zeros(len(matrix) if group_size is None else (len(matrix), 0), matrix.dtype)
    shape = (len(matrix),) if group_size is None else (len(matrix), matrix.shape[1] // size)
    x = None if inputs is None else checked_inputs(inputs, matrix.shape[1])
    if x is None or not matrix.size:
        found: NDArray[Any] = least_squares_range(matrix.reshape(-1, size), None, bits)
    else:
        most = np.abs(matrix).reshape(1, len(matrix), -1, size).max(axis=3).astype(np.float32)
        found = output_ranges(matrix[None], second_moment(x)[None] / len(x), most, bits)
    return np.asarray(found.reshape(shape), matrix.dtype)

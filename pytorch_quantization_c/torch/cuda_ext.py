"""The original's compiled functions under their names, on tensors. Nothing here needs CUDA."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from .._arrays import axis_index
from . import _kernels
from ._kernels import checked, operand

__all__ = ["fake_e4m3fy", "fake_tensor_quant", "fake_tensor_quant_", "fake_tensor_quant_with_axis"]


def _single(amax: Any, inputs: Tensor) -> Tensor:
    """amax as 0-d; ValueError if it has more than one element, or none."""
    bound = operand(amax, "amax", inputs)
    if bound.numel() != 1:
        raise ValueError(f"Expected `amax` of one element, got shape {tuple(bound.shape)} for inputs of shape "
                         f"{tuple(inputs.shape)}")
    return bound.reshape(())


def fake_tensor_quant(inputs: Tensor, amax: Any, num_bits: int = 8, unsigned: bool = False,
                      narrow_range: bool = True) -> Tensor:
    """Quantises and dequantises with one amax, without a gradient.

    Args:
        inputs: float16, bfloat16, float32 or float64, any shape.
        amax: one number >= 0, or a tensor of one element.
        num_bits, unsigned, narrow_range: as for `tensor_quant.TensorQuantFunction`.

    Raises:
        TypeError: inputs are not a tensor of floats, or negative with `unsigned`.
        ValueError: amax of another size, or negative; bits out of range.
    """
    x = checked(inputs, "inputs").detach()
    return _kernels.fake_quantize(x, _single(amax, x), num_bits, unsigned, narrow_range)


def fake_tensor_quant_(inputs: Tensor, amax: Any, num_bits: int = 8, unsigned: bool = False,
                       narrow_range: bool = True) -> None:
    """`fake_tensor_quant` in place. If it is refused, inputs are unchanged."""
    checked(inputs, "inputs").data.copy_(fake_tensor_quant(inputs, amax, num_bits, unsigned, narrow_range))


def fake_tensor_quant_with_axis(inputs: Tensor, amax: Any, axis: int, num_bits: int = 8, unsigned: bool = False,
                                narrow_range: bool = True) -> Tensor:
    """`fake_tensor_quant` with an amax for each index of `axis`, which may be negative.

    Raises, besides what `fake_tensor_quant` does: ValueError if the size of amax is not `inputs.shape[axis]`;
    IndexError if there is no such axis.
    """
    x = checked(inputs, "inputs").detach()
    index, bound = axis_index(axis, x.dim()), operand(amax, "amax", x)
    if bound.numel() != x.shape[index]:
        raise ValueError(f"Expected `amax` of size {x.shape[index]}, got shape {tuple(bound.shape)} for inputs of "
                         f"shape {tuple(x.shape)} along axis {axis}")
    shape = [1] * x.dim()
    shape[index] = -1
    return _kernels.fake_quantize(x, bound.reshape(shape), num_bits, unsigned, narrow_range)


def fake_e4m3fy(inputs: Tensor) -> Tensor:
    """Rounds to the 8-bit floats E4M3: nearest even, saturating at 448, NaN kept."""
    return _kernels.e4m3(checked(inputs, "inputs").detach(), None)

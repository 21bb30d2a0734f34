"""Fake quantisation by torch's own operators, whose calls can be saved as TorchScript."""
from __future__ import annotations

import torch
from torch import Tensor

from .._core.formats import Int
from .._core.onnx import MIN_SCALE
from ._convert import untraced

__all__ = ["fake_quantize"]


@untraced
def _constants(amax: Tensor, bound: int) -> tuple[Tensor, Tensor, float, int | None]:
    """amax / bound of each channel, never 0, by which torch's operators would divide; zero points; the first of the
    scales as a number; and the axis of the channels, counted from the end.
    """
    axes = [axis - amax.dim() for axis, size in enumerate(amax.shape) if size != 1]
    if len(axes) > 1:
        raise TypeError(f"torch's own quantisation has scales along one axis, got an amax of shape {tuple(amax.shape)}")
    scales = (amax.detach().float().reshape(-1) / bound).clamp(min=MIN_SCALE)
    return scales, torch.zeros_like(scales, dtype=torch.int32), float(scales[0]), axes[0] if axes else None


def fake_quantize(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool) -> Tensor:
    """As `tensor_quant.fake_tensor_quant`, but that values next to a tie may go the other way.

    TypeError for an amax that varies along several axes, which torch's operators do not have.
    """
    codes = Int(num_bits, unsigned, narrow_range)
    scales, zeros, scale, axis = _constants(amax, max(codes.bound, 1))
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(x, scale, 0, codes.low, codes.bound)
    return torch.fake_quantize_per_channel_affine(x, scales, zeros, axis + x.dim(), codes.low, codes.bound)

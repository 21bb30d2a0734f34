"""The kernels' arithmetic in plain torch operations: for tensors on devices that the C code does not reach.

Same results, to the bit where the device rounds multiplication and division as IEEE 754 says. Arguments are tensors;
computed in float32, in float64 for float64 inputs, rounded once to the type of `x`.
"""
from __future__ import annotations

import torch
from torch import Tensor

from .._core.formats import E4M3, Int

__all__ = ["e4m3", "fake_affine", "fake_quantize", "quantize", "straight_through"]

TINY = 2.0 ** -24           # up to here an amax counts as zero


def _working(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _scale_type(x: Tensor, amax: Tensor) -> torch.dtype:
    """A scale is computed in float64 only if both are float64."""
    return torch.float64 if x.dtype == amax.dtype == torch.float64 else torch.float32


def _check(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool) -> None:
    if not x.is_floating_point():
        raise TypeError(f"Expected `inputs` to be a tensor of floats, got {x.dtype}")
    if num_bits == 1 and not unsigned:
        raise ValueError("Expected `num_bits` of at least 2 for signed integers, got 1")
    if amax.numel() and bool((amax < 0).any()):
        raise ValueError(f"Expected `amax` >= 0, got {amax.min().item()}: Negative values in amax")
    if unsigned and x.numel() and bool(x.min() < 0):
        raise TypeError("Negative values encountered in unsigned quantization.")


def _integers(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool,
              check: bool = True) -> tuple[Tensor, Tensor]:
    """clamp(rint(x * bound / amax)) and the scale, in the working type."""
    if check:
        _check(x, amax, num_bits, unsigned)
    kind, amax = _working(x), amax.to(_scale_type(x, amax))
    codes = Int(num_bits, unsigned, narrow_range)
    ends = torch.tensor([codes.low, codes.bound], dtype=kind, device=x.device)
    scale = torch.tensor(codes.bound, dtype=amax.dtype, device=amax.device) / amax
    zero = (amax <= TINY) | (num_bits == 0)
    factor = torch.where(zero, torch.zeros_like(scale), scale).to(kind)
    outputs = (x.to(kind) * factor).round().clamp(ends[0], ends[1])
    if num_bits == 0:
        outputs = torch.zeros_like(outputs)     # NaN too
    return outputs, torch.where(zero, torch.ones_like(scale), scale).to(kind)


def quantize(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool) -> tuple[Tensor, Tensor]:
    """Integers in the type of `x`, and the scale."""
    outputs, scale = _integers(x, amax, num_bits, unsigned, narrow_range)
    return outputs.to(x.dtype), scale.to(x.dtype)


def fake_quantize(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool,
                  check: bool = True) -> Tensor:
    """Quantised and dequantised. `check` looks at values, which a program that is being exported does not have."""
    outputs, scale = _integers(x, amax, num_bits, unsigned, narrow_range, check)
    return (outputs / scale).to(x.dtype)


def _e4m3_scale(x: Tensor, amax: Tensor | float | None) -> Tensor:
    kind = _working(x)
    if isinstance(amax, Tensor):
        return (1.0 / amax.to(_scale_type(x, amax)) * E4M3.bound).to(kind)
    return torch.tensor(1.0 if amax is None else E4M3.bound / amax, dtype=kind, device=x.device)


def e4m3(x: Tensor, amax: Tensor | float | None) -> Tensor:
    """Rounded to E4M3 after scaling amax to 448."""
    kind, scale = _working(x), _e4m3_scale(x, amax)
    values = x.to(kind)
    scaled = (values * scale).clamp(-E4M3.bound, E4M3.bound)
    exponent = torch.frexp(scaled.detach())[1] - 1
    step = torch.ldexp(torch.ones_like(scaled), exponent.clamp(min=E4M3.lowest_exponent) - E4M3.mantissa)
    rounded = (scaled / step).round() * step / scale
    return torch.where(values.abs() < TINY, torch.zeros((), dtype=kind, device=x.device), rounded).to(x.dtype)


def fake_affine(x: Tensor, low: Tensor, high: Tensor, num_bits: int) -> Tensor:
    """Quantised and dequantised with a scale and a zero point."""
    kind = _working(x)
    low, high = low.to(kind), high.to(kind)
    bottom, top = -2.0 ** (num_bits - 1), 2.0 ** (num_bits - 1) - 1
    step = (high - low) / (2.0 ** num_bits - 1)
    zero = (low / step).round() - bottom
    outputs = ((x.to(kind) / step).round() - zero).clamp(bottom, top)
    return ((outputs + zero) * step).to(x.dtype)


def straight_through(x: Tensor, amax: Tensor, grad: Tensor) -> Tensor:
    """`grad` where |x| <= amax, else 0."""
    return torch.where(x.abs() <= amax.to(_working(x)), grad, torch.zeros((), dtype=grad.dtype, device=grad.device))

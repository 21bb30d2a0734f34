"""Functions for layers."""
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .._convert import untraced
from .._kernels import checked, operand

__all__ = ["ClipFunction", "add", "clip", "matmul"]


class ClipFunction(Function):
    """Clips to limits that broadcast and may be learnt (PACT, https://arxiv.org/abs/1805.06085).

    `max(min(input, clip_value_max), clip_value_min)`, in the type of `input`; NaN stays NaN. The limits are numbers or
    tensors that broadcast with `input`. The gradient of `input` passes where it lies strictly between the limits, each
    learnt limit gets the sum over the rest; ValueError in the backward for a limit of several elements.
    """

    @staticmethod
    def symbolic(g: Any, input: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
        """Min and Max for the TorchScript exporter."""
        return g.op("Max", g.op("Min", input, clip_value_max), clip_value_min)

    @staticmethod
    @untraced
    def forward(ctx: Any, input: Any, clip_value_min: Any, clip_value_max: Any) -> Tensor:
        """See the class; saves its arguments."""
        x = checked(input, "input")
        low, high = operand(clip_value_min, "clip_value_min", x), operand(clip_value_max, "clip_value_max", x)
        ctx.save_for_backward(x, low, high)
        return torch.maximum(torch.minimum(x, high.to(x.dtype)), low.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        """Gradients of input and limits; None for a limit that is not learnt."""
        x, low, high = ctx.saved_tensors
        if low.numel() != 1 or high.numel() != 1:
            raise ValueError(f"Learnable min/max can only be scalar, got size {tuple(low.shape)} and "
                             f"{tuple(high.shape)}.")
        above, below = ((x > low.to(x.dtype)).to(grad_output.dtype), (x < high.to(x.dtype)).to(grad_output.dtype))
        limits = [(grad_output * (1.0 - mask)).sum().to(limit.dtype).reshape(limit.shape) if wanted else None
                  for wanted, mask, limit in zip(ctx.needs_input_grad[1:], (above, below), (low, high), strict=True)]
        return grad_output * above * below, *limits


clip: Callable[..., Tensor] = ClipFunction.apply


def matmul(input: Tensor, other: Tensor, input_quantizer: Any = None, other_quantizer: Any = None) -> Tensor:
    """The matrix product of two tensors, each quantised before: as attention needs it.

    Args:
        input, other: tensors that `torch.matmul` takes.
        input_quantizer, other_quantizer: a TensorQuantizer each; None leaves the operand as it is.
    """
    return torch.matmul(*_quantised(input, other, input_quantizer, other_quantizer))


def add(input: Tensor, other: Tensor, input_quantizer: Any = None, other_quantizer: Any = None) -> Tensor:
    """The sum of two tensors, each quantised before: as residual connections need it.

    Args:
        input, other: tensors that broadcast.
        input_quantizer, other_quantizer: a TensorQuantizer each; None leaves the operand as it is.
    """
    x, y = _quantised(input, other, input_quantizer, other_quantizer)
    return x + y


def _quantised(input: Any, other: Any, input_quantizer: Any, other_quantizer: Any) -> tuple[Tensor, Tensor]:
    x, y = checked(input, "input"), checked(other, "other")
    return (x if input_quantizer is None else input_quantizer(x),
            y if other_quantizer is None else other_quantizer(y))

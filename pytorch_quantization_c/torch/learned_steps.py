"""Step sizes that are learnt with the weights (LSQ).

Esser, McKinstry, Bablani, Appuswamy, Modha: Learned Step Size Quantization (2019), equations 1 to 5. With a step s,
v / s is clipped to [-Q_n, Q_p] and rounded, and the gradient by s of one output is -v / s + round(v / s) within the
clipped range and -Q_n or Q_p outside, times g = 1 / sqrt(N Q_p), where N elements share the step.
"""
from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter

from .._core.errors import shown
from .._core.formats import Int
from .._core.models import require_module
from ..model.quantizers import named_quantizers
from .tensor_quant import fake_tensor_quant

__all__ = ["LearnedStepFunction", "learn_steps"]

logger = logging.getLogger(__name__)

MIN_AMAX = 2.0 ** -20      # an amax that training drives below counts as this


class LearnedStepFunction(Function):
    """Fake quantisation whose range is learnt by LSQ: `LearnedStepFunction.apply(inputs, amax, num_bits, unsigned,
    narrow_range)`.

    The outputs are those of `fake_tensor_quant`. The gradient of `inputs` passes where |inputs| <= amax (unsigned:
    0 <= inputs <= amax). That of `amax` = s Q_p is Q_p times LSQ's gradient of s, so that a step of gradient descent on
    amax is one on s.

    Args:
        inputs: a floating tensor of any shape.
        amax: a tensor that broadcasts with it, > 0; 2^-20 where it is less.
        num_bits: 2 to 32; Q_p is 2^(num_bits - 1) - 1, unsigned 2^num_bits - 1.
        unsigned, narrow_range: as of `fake_tensor_quant`; Q_n is 0, Q_p or Q_p + 1.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, amax: Tensor, num_bits: int = 8, unsigned: bool = False,
                narrow_range: bool = True) -> Tensor:
        """See the class."""
        wide = torch.clamp(amax.detach(), min=MIN_AMAX)
        outputs: Tensor = fake_tensor_quant(inputs.detach(), wide, num_bits, unsigned, narrow_range)
        ctx.save_for_backward(inputs, wide, outputs)
        ctx.bound = 2 ** (num_bits - 1 + bool(unsigned)) - 1
        ctx.low = 0 if unsigned else -ctx.bound - (not narrow_range)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """The gradients by `inputs` and `amax`."""
        inputs, amax, outputs = ctx.saved_tensors
        grad, = grad_outputs
        kind = torch.float64 if inputs.dtype == torch.float64 else torch.float32
        step = amax.to(kind) / ctx.bound
        v = inputs.to(kind) / step
        inside = (v >= ctx.low) & (v <= ctx.bound)
        slope = torch.where(inside, outputs.to(kind) / step - v, torch.clamp(v, ctx.low, ctx.bound))
        share = ctx.bound / math.sqrt(max(inputs.numel() // max(amax.numel(), 1), 1) * ctx.bound)
        by_step = (grad.to(kind) * slope).sum_to_size(amax.shape) * share
        return grad * inside.to(grad.dtype), by_step.to(amax.dtype), None, None, None


def learned_step_quant(inputs: Tensor, amax: Tensor, num_bits: int, unsigned: bool, narrow_range: bool) -> Tensor:
    """`LearnedStepFunction.apply`."""
    outputs: Tensor = LearnedStepFunction.apply(inputs, amax, num_bits, unsigned, narrow_range)  # type: ignore[no-untyped-call]
    return outputs


def learn_steps(model: torch.nn.Module) -> list[Parameter]:
    """Makes the ranges of a model's quantisers parameters that training learns by LSQ (Esser et al. 2019).

    Calibrate first: training starts from the ranges that are there, and the range of a quantiser without one stays
    dynamic. Pass the parameters to the optimiser with the others, `model.parameters()` has them; the authors train them
    at the weights' rate. Names in the state dictionary stay. `learn_amax` of a descriptor, which is PACT and clips at
    learnt limits, is a thing of its own, and such quantisers are left alone; so are disabled ones, those of small
    floats, blocks or zero points, and those with `scale_amax`.

    Args:
        model: a module of the twin with quantisers.

    Returns:
        The new parameters; those of a second call are the same.

    Raises:
        TypeError: `model` is not a module.
        ValueError: no quantiser has a range that can be learnt.
    """
    require_module(model)
    found, left = [], []
    for name, quantizer in named_quantizers(model):
        if quantizer._disabled or not quantizer._if_quant:
            continue
        if not _can_learn(quantizer):
            left.append(name)
            continue
        if not isinstance(quantizer.amax, Parameter):
            amax = quantizer._buffers.pop("_amax")
            quantizer.register_parameter("_amax", Parameter(amax.detach().clone()))
        quantizer._learn_step = True
        found.append(quantizer.amax)
    if not found:
        raise ValueError("Expected `model` to have quantisers with a fixed range, got none: calibrate first")
    if left:
        logger.info("Not learnt: the ranges of %s", shown(left))
    return found


def _can_learn(quantizer: Any) -> bool:
    format = quantizer.format
    return (quantizer.amax is not None and isinstance(format, Int) and format.bound > 0 and quantizer.fake_quant
            and not quantizer._learn_amax and quantizer.blocks is None and not quantizer.zero_point
            and quantizer._scale_amax is None)

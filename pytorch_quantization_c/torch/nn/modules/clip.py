"""`Clip`: a layer that clips, to limits which may be learnt."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from .. import functional as QF

__all__ = ["Clip"]


def _learnable(value: Any) -> Parameter:
    """A limit to be learnt, in float32. ValueError if it has several elements, or is a tensor: as in the original."""
    limit = torch.as_tensor(value).detach().clone().float()
    if limit.numel() != 1 or isinstance(value, torch.Tensor):
        raise ValueError("clip_value_min/clip_value_max must be scalar for initializing learnable range, "
                         f"got shape {tuple(limit.shape)}.")
    return Parameter(limit)


class Clip(Module):
    """Clips to [clip_value_min, clip_value_max].

    Args:
        clip_value_min: lower limit, a number or a tensor that broadcasts.
        clip_value_max: upper limit.
        learn_min: make the lower limit a Parameter; then it must be a number, or an array of one.
        learn_max: the same for the upper limit.

    Raises:
        ValueError: a limit to be learnt has several elements, or is a tensor.
    """

    def __init__(self, clip_value_min: Any, clip_value_max: Any, learn_min: bool = False,
                 learn_max: bool = False) -> None:
        super().__init__()
        self.clip_value_min: Any = _learnable(clip_value_min) if learn_min else clip_value_min
        self.clip_value_max: Any = _learnable(clip_value_max) if learn_max else clip_value_max

    def forward(self, inputs: Tensor) -> Tensor:
        """The clipped inputs, a new tensor of their type."""
        return QF.clip(inputs, self.clip_value_min, self.clip_value_max)

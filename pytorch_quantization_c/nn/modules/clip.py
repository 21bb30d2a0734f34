"""`Clip`: a layer that clips, to limits which may be learnt."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._arrays import number_array
from ...float_nn.module import Module
from ...float_nn.parameter import Parameter
from .. import functional as QF

__all__ = ["Clip"]


def _learnable(value: Any, name: str) -> Parameter:
    """A limit to be learnt, in float32. ValueError if it has several elements."""
    limit = number_array(value, name).astype(np.float32)
    if limit.size != 1:
        raise ValueError("clip_value_min/clip_value_max must be scalar for initializing learnable range, "
                         f"got shape {limit.shape}.")
    return Parameter(limit)


class Clip(Module):
    """Clips to [clip_value_min, clip_value_max].

    Args:
        clip_value_min: lower limit, a number or an array that broadcasts.
        clip_value_max: upper limit.
        learn_min: make the lower limit a Parameter; then it must be one number.
        learn_max: the same for the upper limit.

    Raises:
        ValueError: a limit to be learnt has several elements.
    """

    def __init__(self, clip_value_min: ArrayLike, clip_value_max: ArrayLike, learn_min: bool = False,
                 learn_max: bool = False) -> None:
        super().__init__()
        self.clip_value_min: Any = _learnable(clip_value_min, "clip_value_min") if learn_min else clip_value_min
        self.clip_value_max: Any = _learnable(clip_value_max, "clip_value_max") if learn_max else clip_value_max

    def forward(self, inputs: ArrayLike) -> NDArray[Any]:
        """The clipped inputs, a new array of their type."""
        return QF.clip(inputs, self.clip_value_min, self.clip_value_max)

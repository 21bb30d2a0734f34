"""Convolutions with a kernel of ones on weights in groups of input channels: a matrix times each pixel's channels."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .int4 import PackedInt4
from .packed import NO_FLOATS, Geometry

__all__ = ["PointwiseInt4"]


class PointwiseInt4:
    """`PackedInt4` over the channels of (batch, in, *sizes) or (in, *sizes), with strides and padding of a geometry."""

    __slots__ = ("packed", "geometry")

    def __init__(self, packed: PackedInt4, geometry: Geometry) -> None:
        self.packed, self.geometry = packed, geometry

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.packed.outputs

    def product(self, input: Any, amax: Any = None, bias: NDArray[np.float32] | None = None, *,
                pair: NDArray[np.float32] | None = None) -> NDArray[np.float32] | str:
        """As that of `PackedWeights`: a string says why integers cannot give it.

        `pair`: a scale and a zero point instead of `amax`.
        """
        g, spatial = self.geometry, len(self.geometry.stride)
        if not isinstance(input, np.ndarray) or input.dtype.char != "f":
            return NO_FLOATS
        if input.ndim not in (spatial + 1, spatial + 2):
            return "unexpected number of dimensions"
        x = input if input.ndim == spatial + 2 else input[None]
        if x.shape[1] != self.packed.shape[1]:
            return "unexpected number of channels"
        if not x.size:
            return "empty input"
        if amax is None and pair is None:  # of all pixels, also of those that strides pass over
            low, high = np.min(x), np.max(x)
            ends = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
            amax = ends if self.packed.two_ended else np.float32(max(abs(low), abs(high)))
        if any(g.before) or any(g.after):
            x = np.pad(x, [(0, 0), (0, 0), *zip(g.before, g.after, strict=True)])
        x = x[(slice(None), slice(None), *(slice(None, None, step) for step in g.stride))]
        sizes = x.shape[2:]
        rows = _C.transposed(np.ascontiguousarray(x).reshape(*x.shape[:2], math.prod(sizes)))
        y = self.packed.product(rows, amax, bias) if pair is None else self.packed.by_scale(rows, pair, bias)
        if isinstance(y, str):
            return y
        made = _C.transposed(y).reshape(len(x), y.shape[-1], *sizes)
        return made if input.ndim == spatial + 2 else made[0]

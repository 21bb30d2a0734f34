"""Padding as layers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from .._core.errors import shown
from . import functional as F
from .checks import Array, IntOrInts, ShapeError, float_array, integers
from .module import Module

__all__ = ["CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
           "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
           "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d"]


class _Pad(Module):
    """Pads the last `_spatial` dimensions: one amount for all ends, or two for each dimension, the last one first."""

    _spatial: int
    _mode = "constant"

    def __init__(self, padding: IntOrInts) -> None:
        super().__init__()
        if isinstance(padding, Sequence) and len(padding) != 2 * self._spatial:
            raise ShapeError(f"Expected `padding` to be one integer or {2 * self._spatial}, got {shown(padding)}")
        self.padding = integers(padding, 2 * self._spatial, "padding")

    def forward(self, input: ArrayLike) -> Array:
        """(N, C, ...) or (C, ...) with larger last sizes."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return str(self.padding)


class _ConstantPad(_Pad):
    def __init__(self, padding: IntOrInts, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: ArrayLike) -> Array:
        """Any shape with enough dimensions."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Adds `value` at both ends of the last dimension: `padding` is one amount, or (before, after)."""

    _spatial = 1


class ConstantPad2d(_ConstantPad):
    """Adds `value` around the last two dimensions: `padding` is one amount, or (left, right, top, bottom)."""

    _spatial = 2


class ConstantPad3d(_ConstantPad):
    """Adds `value` around the last three dimensions: `padding` is one amount, or six."""

    _spatial = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: IntOrInts) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return str(self.padding)


class ZeroPad1d(_ZeroPad):
    """`ConstantPad1d` with zeros."""

    _spatial = 1


class ZeroPad2d(_ZeroPad):
    """`ConstantPad2d` with zeros."""

    _spatial = 2


class ZeroPad3d(_ZeroPad):
    """`ConstantPad3d` with zeros."""

    _spatial = 3


class _ReflectionPad(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """Mirrors (N, C, L) or (C, L) at its ends, which are not repeated."""

    _spatial = 1


class ReflectionPad2d(_ReflectionPad):
    """Mirrors (N, C, H, W) or (C, H, W) at its edges, which are not repeated."""

    _spatial = 2


class ReflectionPad3d(_ReflectionPad):
    """Mirrors (N, C, D, H, W) or (C, D, H, W) at its faces, which are not repeated."""

    _spatial = 3


class _ReplicationPad(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """Repeats the ends of (N, C, L) or (C, L)."""

    _spatial = 1


class ReplicationPad2d(_ReplicationPad):
    """Repeats the edges of (N, C, H, W) or (C, H, W)."""

    _spatial = 2


class ReplicationPad3d(_ReplicationPad):
    """Repeats the faces of (N, C, D, H, W) or (C, D, H, W)."""

    _spatial = 3


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: Any) -> Array:
        """(N, C, ...) or (C, ...) with larger last sizes."""
        x = float_array(input, "input")
        if x.ndim not in (self._spatial + 1, self._spatial + 2):
            raise ShapeError(f"expected {self._spatial + 1}D or {self._spatial + 2}D input (got {x.ndim}D input)")
        return super().forward(x)


class CircularPad1d(_CircularPad):
    """Continues (N, C, L) or (C, L) with its other end."""

    _spatial = 1


class CircularPad2d(_CircularPad):
    """Continues (N, C, H, W) or (C, H, W) with its opposite edges."""

    _spatial = 2


class CircularPad3d(_CircularPad):
    """Continues (N, C, D, H, W) or (C, D, H, W) with its opposite faces."""

    _spatial = 3

"""Pooling layers in one, two and three dimensions."""
from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from . import functional as F
from .checks import Array, IntOrInts
from .functional.adaptive import SizeOrSizes
from .module import Module

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
           "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d"]


class _MaxPool(Module):
    """The maximum of each window."""

    return_indices: bool
    ceil_mode: bool

    def __init__(self, kernel_size: IntOrInts, stride: IntOrInts | None = None, padding: IntOrInts = 0,
                 dilation: IntOrInts = 1, return_indices: bool = False, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _arguments(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """As torch prints it."""
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """The maximum of each window of (N, C, L) or (C, L).

    Args:
        kernel_size, stride, padding, dilation: one integer, or one for each dimension; stride None means kernel_size.
        return_indices: also give where each maximum lies in the flattened plane.
        ceil_mode: also windows that hang over the end, as long as they start inside.
    """

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.max_pool1d(input, *self._arguments())


class MaxPool2d(_MaxPool):
    """The maximum of each window of (N, C, H, W) or (C, H, W); the arguments are those of `MaxPool1d`."""

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.max_pool2d(input, *self._arguments())


class MaxPool3d(_MaxPool):
    """The maximum of each window of (N, C, D, H, W) or (C, D, H, W); the arguments are those of `MaxPool1d`."""

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.max_pool3d(input, *self._arguments())


class AvgPool1d(Module):
    """The average of each window of (N, C, L) or (C, L).

    Args:
        kernel_size, stride, padding: one integer, or one for each dimension; stride None means kernel_size.
        ceil_mode: also windows that hang over the end, as long as they start inside.
        count_include_pad: the zeros of the padding count as elements.
    """

    def __init__(self, kernel_size: IntOrInts, stride: IntOrInts | None = None, padding: IntOrInts = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        super().__init__()

        def one(value: Any) -> Any:
            return value if isinstance(value, tuple | list) else (value,)

        self.kernel_size = one(kernel_size)
        self.stride = self.kernel_size if stride is None else one(stride)
        self.padding, self.ceil_mode, self.count_include_pad = one(padding), ceil_mode, count_include_pad

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    def __init__(self, kernel_size: IntOrInts, stride: IntOrInts | None = None, padding: IntOrInts = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def _arguments(self) -> tuple[Any, ...]:
        return (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                self.divisor_override)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The average of each window of (N, C, H, W) or (C, H, W).

    Args: as `AvgPool1d`, and
        divisor_override: divide by this instead of the number of elements.
    """

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.avg_pool2d(input, *self._arguments())


class AvgPool3d(_AvgPool):
    """The average of each window of (N, C, D, H, W) or (C, D, H, W); the arguments are those of `AvgPool2d`."""

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.avg_pool3d(input, *self._arguments())


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: SizeOrSizes) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Averages of (N, C, L) or (C, L) over windows chosen so that the result has `output_size` (None: unchanged)."""

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Averages of (N, C, H, W) or (C, H, W) over windows chosen so that the result has `output_size`."""

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Averages of (N, C, D, H, W) or (C, D, H, W) over windows chosen so that the result has `output_size`."""

    def forward(self, input: ArrayLike) -> Array:
        """The averages."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: SizeOrSizes, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of (N, C, L) or (C, L) over windows chosen so that the result has `output_size`."""

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of (N, C, H, W) or (C, H, W) over windows chosen so that the result has `output_size`."""

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of (N, C, D, H, W) or (C, D, H, W) over windows chosen so that the result has `output_size`."""

    def forward(self, input: ArrayLike) -> Any:
        """The maxima, or maxima and indices."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)

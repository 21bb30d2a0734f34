"""Convolution layers in one, two and three dimensions, and transposed ones."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._core.errors import shown
from . import functional as F
from . import init
from .checks import Array, IntOrInts, ShapeError, batched, factory, float_array, integer, integers
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """The base of all six: arguments, parameters, text. `_spatial` is the number of dimensions."""

    _spatial: int
    _transposed = False
    weight: Parameter
    bias: Parameter | None
    padding: str | tuple[int, ...]

    def __init__(self, in_channels: int, out_channels: int, kernel_size: IntOrInts, stride: IntOrInts,
                 padding: str | IntOrInts, dilation: IntOrInts, output_padding: IntOrInts, groups: int, bias: bool,
                 padding_mode: str, device: Any, dtype: DTypeLike | None) -> None:
        super().__init__()
        kind = factory(device, dtype)
        n = self._spatial
        self.groups = integer(groups, "groups", 1)
        self.in_channels = integer(in_channels, "in_channels", 0)
        self.out_channels = integer(out_channels, "out_channels", 0)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} must be divisible by groups")
        self.kernel_size = integers(kernel_size, n, "kernel_size", 0)
        self.stride = integers(stride, n, "stride")
        self.dilation = integers(dilation, n, "dilation")
        self.padding = self._checked_padding(padding)
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {set(PADDING_MODES)}, but got padding_mode='{padding_mode}'")
        self.padding_mode = padding_mode
        self.transposed = self._transposed
        self.output_padding = integers(output_padding, n, "output_padding")
        self._reversed_padding_repeated_twice = self._pad_amounts()
        ends = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(np.empty((*ends, *self.kernel_size), kind))
        self.register_parameter("bias", Parameter(np.empty(out_channels, kind)) if bias else None)
        self.reset_parameters()

    def _checked_padding(self, padding: str | IntOrInts) -> str | tuple[int, ...]:
        if not isinstance(padding, str):
            return integers(padding, self._spatial, "padding")
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {shown(padding)}, should be one of 'same', 'valid'")
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        return padding

    def _pad_amounts(self) -> list[int]:
        """The padding in the form `F.pad` takes: last dimension first, before and after."""
        if isinstance(self.padding, str):
            total = [d * (k - 1) * (self.padding == "same")
                     for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            pairs = [(t // 2, t - t // 2) for t in total]
        else:
            pairs = [(p, p) for p in self.padding]
        return [amount for pair in reversed(pairs) for amount in pair]

    def reset_parameters(self) -> None:
        """Reinitialises weights and biases: uniform on +-1 / sqrt(inputs of one output)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.fans(self.weight.shape)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """As torch prints it."""
        zeros, ones = (0,) * self._spatial, (1,) * self._spatial
        parts = [str(self.in_channels), str(self.out_channels), f"kernel_size={self.kernel_size}",
                 f"stride={self.stride}"]
        for name, default in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    """The three plain convolutions."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: IntOrInts, stride: IntOrInts = 1,
                 padding: str | IntOrInts = 0, dilation: IntOrInts = 1, groups: int = 1, bias: bool = True,
                 padding_mode: str = "zeros", device: Any = None, dtype: DTypeLike | None = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
                         padding_mode, device, dtype)

    def _conv_forward(self, input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None) -> Array:
        """The layer with another weight: quantised layers call it with quantised arrays."""
        function = (F.conv1d, F.conv2d, F.conv3d)[self._spatial - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            x, single = batched(float_array(input, "input"), self._spatial, self._get_name())
            padded = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            input, padding = (padded[0] if single else padded), (0,) * self._spatial
        return function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: ArrayLike) -> Array:
        """(N, in_channels, ...) to (N, out_channels, ...), or both without N."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L).

    Args:
        in_channels, out_channels: sizes of the channel dimension.
        kernel_size, stride, padding, dilation: one integer, or one for each dimension; `padding` also "same" (the
            output has the size of the input; stride 1 only) or "valid" (none).
        groups: divides the channels into groups that do not mix.
        bias: add a learned number to each output channel.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    _spatial = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W); the arguments are those of `Conv1d`."""

    _spatial = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W); the arguments are those of `Conv1d`."""

    _spatial = 3


class _ConvTranspose(_ConvNd):
    """The three transposed convolutions."""

    _transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: IntOrInts, stride: IntOrInts = 1,
                 padding: IntOrInts = 0, output_padding: IntOrInts = 0, groups: int = 1, bias: bool = True,
                 dilation: IntOrInts = 1, padding_mode: str = "zeros", device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        if isinstance(padding, str):
            raise TypeError(f"Expected `padding` of integers for {type(self).__name__}, got {shown(padding)}")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups,
                         bias, padding_mode, device, dtype)

    def _output_padding(self, input: ArrayLike, output_size: Sequence[int] | None, stride: Sequence[int],
                        padding: Sequence[int], kernel_size: Sequence[int], num_spatial_dims: int,
                        dilation: Sequence[int] | None = None) -> tuple[int, ...]:
        """The `output_padding` that gives `output_size`, with or without its first two numbers; None: the layer's."""
        if output_size is None:
            return tuple(self.output_padding)
        shape = np.shape(input)
        n = num_spatial_dims
        outer = len(shape) - n
        if not isinstance(output_size, Sequence | np.ndarray) or isinstance(output_size, str):
            raise TypeError(f"Expected `output_size` to be a sequence of integers, got {shown(output_size)}")
        count = len(output_size)
        wanted = integers(output_size, count, "output_size") if 0 < count <= n + 2 else ()
        if outer in (1, 2) and len(wanted) == n + outer:
            wanted = wanted[outer:]
        if len(wanted) != n:
            raise ValueError(f"{self._get_name()}: for {len(shape)}D input, output_size must have {n} or {len(shape)} "
                             f"elements (got {count})")
        dilations = (1,) * n if dilation is None else dilation
        low = [(size - 1) * s - 2 * p + d * (k - 1) + 1 for size, s, p, k, d in
               zip(shape[outer:], stride, padding, kernel_size, dilations, strict=True)]
        high = [least + s - 1 for least, s in zip(low, stride, strict=True)]
        if any(not least <= want <= most for least, want, most in zip(low, wanted, high, strict=True)):
            raise ValueError(f"requested an output size of {wanted}, but valid sizes range from {low} to {high} "
                             f"(for an input of {shape[outer:]})")
        return tuple(want - least for want, least in zip(wanted, low, strict=True))

    def _conv_forward(self, input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None,
                      output_size: Sequence[int] | None = None) -> Array:
        """The layer with another weight: quantised layers call it with quantised arrays."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self._spatial - 1]
        if isinstance(self.padding, str):
            raise ShapeError(f"Expected `padding` of integers, got {shown(self.padding)}")
        extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, self._spatial,
                                     self.dilation)
        return function(input, weight, bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def forward(self, input: ArrayLike, output_size: Sequence[int] | None = None) -> Array:
        """(N, in_channels, ...) to (N, out_channels, ...), or both without N; `output_size` picks among the sizes
        that a strided convolution would map to the input's."""
        return self._conv_forward(input, self.weight, self.bias, output_size)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L) or (C, L): the adjoint of `Conv1d` with the same arguments.

    Args: as `Conv1d`, and
        output_padding: elements added to the end of the output, less than stride or dilation.
    """

    _spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of (N, C, H, W) or (C, H, W); the arguments are those of `ConvTranspose1d`."""

    _spatial = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W); the arguments are those of `ConvTranspose1d`."""

    _spatial = 3

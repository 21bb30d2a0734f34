"""The quantised convolutions. Padding modes are the float layers' own.

As in the original they are no torch.nn.Conv2d and so on: code that initialises layers by isinstance passes over them.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.utils import _ntuple

from ...._core.layer_rules import ConvTransposeRules, WeightLayerRules
from ... import tensor_quant
from . import _utils
from ._utils import QuantDescriptor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "QuantConv1d",
           "QuantConv2d", "QuantConv3d", "QuantConvTranspose1d", "QuantConvTranspose2d", "QuantConvTranspose3d"]


class _QuantConvNd(WeightLayerRules[Tensor], _utils.QuantMixin, _ConvNd):
    """Base of the convolutions, also for custom ones: the float layer's arguments, then the descriptors.

    Args:
        in_channels ... padding_mode: as torch's `_ConvNd`; sizes are tuples.
        quant_desc_input, quant_desc_weight: descriptors of fake quantisation.

    Raises:
        TypeError: no descriptor. ValueError: a descriptor of real quantisation.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 transposed: bool, output_padding: Any, groups: int, bias: bool, padding_mode: Any,
                 quant_desc_input: QuantDescriptor, quant_desc_weight: QuantDescriptor) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, transposed, output_padding,
                         groups, bias, padding_mode)
        self.init_quantizer(quant_desc_input, quant_desc_weight)

    def _float_forward(self, input: Any) -> Tensor:
        return self._conv_forward(*self._quant(input), self.bias)


class _Conv(_QuantConvNd):
    """What the three convolutions share; a single number stands for one in each dimension."""

    _dimensions: ClassVar[int]

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 **kwargs: Any) -> None:
        each = _ntuple(self._dimensions)  # type: ignore[no-untyped-call]
        super().__init__(in_channels, out_channels, each(kernel_size), each(stride),
                         padding if isinstance(padding, str) else each(padding), each(dilation), False, each(0),
                         groups, bias, padding_mode, *_utils.pop_quant_desc_in_kwargs(type(self), **kwargs))


class QuantConv1d(_Conv):
    """`torch.nn.Conv1d` on a quantised input (batch, in_channels, length) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 1, nn.Conv1d
    _conv_forward = nn.Conv1d._conv_forward


class QuantConv2d(_Conv):
    """`torch.nn.Conv2d` on a quantised input (batch, in_channels, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 2, nn.Conv2d
    _conv_forward = nn.Conv2d._conv_forward


class QuantConv3d(_Conv):
    """`torch.nn.Conv3d` on a quantised input (batch, in_channels, depth, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 3, nn.Conv3d
    _conv_forward = nn.Conv3d._conv_forward


class _QuantConvTransposeNd(ConvTransposeRules[Tensor], _utils.QuantMixin, _ConvTransposeNd):
    """Base of the transposed convolutions, also for custom ones. Arguments and errors as `_QuantConvNd`.

    ValueError in the forward for padding other than zeros.
    """

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 transposed: bool, output_padding: Any, groups: int, bias: bool, padding_mode: str,
                 quant_desc_input: QuantDescriptor, quant_desc_weight: QuantDescriptor) -> None:
        _ConvTransposeNd.__init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation, transposed,
                                  output_padding, groups, bias, padding_mode)  # pyright: ignore
        self.init_quantizer(quant_desc_input, quant_desc_weight)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None,
                      output_size: Any = None) -> Tensor:
        if self.padding_mode != "zeros":
            raise ValueError(f"Expected `padding_mode` 'zeros' for {type(self).__name__}, got {self.padding_mode!r}")
        output_padding: Callable[..., Any] = self._output_padding   # torch's annotations ask for lists, it takes tuples
        padding = output_padding(input, output_size, self.stride, self.padding, self.kernel_size,
                                 len(self.kernel_size), self.dilation)
        return type(self)._function(input, weight, bias, self.stride, self.padding, padding, self.groups, self.dilation)


class _ConvTranspose(_QuantConvTransposeNd):
    """What the three transposed convolutions share; a single number stands for one in each dimension."""

    _dimensions: ClassVar[int]

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
                 padding_mode: str = "zeros", **kwargs: Any) -> None:
        each = _ntuple(self._dimensions)  # type: ignore[no-untyped-call]
        super().__init__(in_channels, out_channels, each(kernel_size), each(stride), each(padding), each(dilation),
                         True, each(output_padding), groups, bias, padding_mode,
                         *_utils.pop_quant_desc_in_kwargs(type(self), **kwargs))


class QuantConvTranspose1d(_ConvTranspose):
    """`torch.nn.ConvTranspose1d` on a quantised input (batch, in_channels, length) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 1, nn.ConvTranspose1d
    _function = staticmethod(F.conv_transpose1d)


class QuantConvTranspose2d(_ConvTranspose):
    """`torch.nn.ConvTranspose2d` on a quantised input (batch, in_channels, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 2, nn.ConvTranspose2d
    _function = staticmethod(F.conv_transpose2d)


class QuantConvTranspose3d(_ConvTranspose):
    """`torch.nn.ConvTranspose3d` on a quantised input (batch, in_channels, depth, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL
    _dimensions, _float_class = 3, nn.ConvTranspose3d
    _function = staticmethod(F.conv_transpose3d)


Conv1d = QuantConv1d
Conv2d = QuantConv2d
Conv3d = QuantConv3d
ConvTranspose1d = QuantConvTranspose1d
ConvTranspose2d = QuantConvTranspose2d
ConvTranspose3d = QuantConvTranspose3d

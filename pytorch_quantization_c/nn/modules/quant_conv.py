"""The quantised convolutions. Padding modes are the float layers' own."""
from __future__ import annotations

from ... import float_nn, tensor_quant
from ..._core.layer_rules import ConvRules, ConvTransposeRules
from ...float_nn.checks import Array
from . import _utils

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "QuantConv1d",
           "QuantConv2d", "QuantConv3d", "QuantConvTranspose1d", "QuantConvTranspose2d", "QuantConvTranspose3d"]


class _QuantConvNd(ConvRules[Array], _utils.QuantMixin):
    """The float layer on a quantised input (batch, in_channels, *sizes) and weight (out_channels, in/groups, *kernel).

    Args:
        in_channels ... padding_mode: as the float layer.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, with one amax for the input and one
            for each output channel of the weight.

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation.
    """


class QuantConv1d(_QuantConvNd, float_nn.Conv1d):
    """`float_nn.Conv1d` on a quantised input (batch, in_channels, length) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL


class QuantConv2d(_QuantConvNd, float_nn.Conv2d):
    """`float_nn.Conv2d` on a quantised input (batch, in_channels, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL


class QuantConv3d(_QuantConvNd, float_nn.Conv3d):
    """`float_nn.Conv3d` on a quantised input (batch, in_channels, depth, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each output channel: axis 0). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL


class _QuantConvTransposeNd(ConvTransposeRules[Array], _utils.QuantMixin):
    """The float layer on a quantised input (batch, in_channels, *sizes) and weight (in_channels, out/groups, *kernel).

    Args:
        in_channels ... padding_mode: as the float layer.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, with one amax for the input and one
            for each index of the weight's axis 1.

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation, or padding other than zeros.
    """


class QuantConvTranspose1d(_QuantConvTransposeNd, float_nn.ConvTranspose1d):
    """`float_nn.ConvTranspose1d` on a quantised input (batch, in_channels, length) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL


class QuantConvTranspose2d(_QuantConvTransposeNd, float_nn.ConvTranspose2d):
    """`float_nn.ConvTranspose2d` on a quantised input (batch, in_channels, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL


class QuantConvTranspose3d(_QuantConvTransposeNd, float_nn.ConvTranspose3d):
    """`float_nn.ConvTranspose3d` on a quantised input (batch, in_channels, depth, height, width) and weight.

    Arguments as there, `quant_desc_input` (default: 8 bits, one amax) and `quant_desc_weight` (8 bits, one amax for
    each index of axis 1). TypeError for another keyword, ValueError for a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL


_ConvNd = _QuantConvNd
Conv1d = QuantConv1d
Conv2d = QuantConv2d
Conv3d = QuantConv3d
ConvTranspose1d = QuantConvTranspose1d
ConvTranspose2d = QuantConvTranspose2d
ConvTranspose3d = QuantConvTranspose3d

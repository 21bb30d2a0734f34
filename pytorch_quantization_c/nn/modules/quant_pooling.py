"""The pooling layers with a quantised input.

Arguments as the float layers', and `quant_desc_input`; by default 8 bits with one amax. TypeError for another keyword
argument, ValueError for a descriptor of real quantisation.
"""
from __future__ import annotations

from ... import float_nn
from ..._core.input_layers import AdaptiveAvgPoolRules, AvgPool1dRules, AvgPoolRules, MaxPoolRules
from ._utils import QuantInputMixin

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d",
           "MaxPool1d", "MaxPool2d", "MaxPool3d", "QuantAdaptiveAvgPool1d", "QuantAdaptiveAvgPool2d",
           "QuantAdaptiveAvgPool3d", "QuantAvgPool1d", "QuantAvgPool2d", "QuantAvgPool3d", "QuantMaxPool1d",
           "QuantMaxPool2d", "QuantMaxPool3d"]


class QuantMaxPool1d(MaxPoolRules, QuantInputMixin, float_nn.MaxPool1d):
    """`float_nn.MaxPool1d` on a quantised input (batch, channels, length).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantMaxPool2d(MaxPoolRules, QuantInputMixin, float_nn.MaxPool2d):
    """`float_nn.MaxPool2d` on a quantised input (batch, channels, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantMaxPool3d(MaxPoolRules, QuantInputMixin, float_nn.MaxPool3d):
    """`float_nn.MaxPool3d` on a quantised input (batch, channels, depth, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAvgPool1d(AvgPool1dRules, QuantInputMixin, float_nn.AvgPool1d):
    """`float_nn.AvgPool1d` on a quantised input (batch, channels, length).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAvgPool2d(AvgPoolRules, QuantInputMixin, float_nn.AvgPool2d):
    """`float_nn.AvgPool2d` on a quantised input (batch, channels, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAvgPool3d(AvgPoolRules, QuantInputMixin, float_nn.AvgPool3d):
    """`float_nn.AvgPool3d` on a quantised input (batch, channels, depth, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAdaptiveAvgPool1d(AdaptiveAvgPoolRules, QuantInputMixin, float_nn.AdaptiveAvgPool1d):
    """`float_nn.AdaptiveAvgPool1d` on a quantised input (batch, channels, length).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAdaptiveAvgPool2d(AdaptiveAvgPoolRules, QuantInputMixin, float_nn.AdaptiveAvgPool2d):
    """`float_nn.AdaptiveAvgPool2d` on a quantised input (batch, channels, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantAdaptiveAvgPool3d(AdaptiveAvgPoolRules, QuantInputMixin, float_nn.AdaptiveAvgPool3d):
    """`float_nn.AdaptiveAvgPool3d` on a quantised input (batch, channels, depth, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


MaxPool1d = QuantMaxPool1d
MaxPool2d = QuantMaxPool2d
MaxPool3d = QuantMaxPool3d
AvgPool1d = QuantAvgPool1d
AvgPool2d = QuantAvgPool2d
AvgPool3d = QuantAvgPool3d
AdaptiveAvgPool1d = QuantAdaptiveAvgPool1d
AdaptiveAvgPool2d = QuantAdaptiveAvgPool2d
AdaptiveAvgPool3d = QuantAdaptiveAvgPool3d

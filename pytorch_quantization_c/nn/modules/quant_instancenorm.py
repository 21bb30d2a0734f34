"""Instance normalisation with a quantised input (batch, num_features, *sizes).

Arguments as the float layers', and `quant_desc_input`; by default 8 bits with one amax. TypeError for another keyword
argument, ValueError for a descriptor of real quantisation.
"""
from __future__ import annotations

from ... import float_nn, tensor_quant
from ..._core.input_layers import InstanceNormRules
from ._utils import QuantInputMixin
from .tensor_quantizer import TensorQuantizer

__all__ = ["QuantInstanceNorm1d", "QuantInstanceNorm2d", "QuantInstanceNorm3d"]


class _QuantInstanceNorm(InstanceNormRules, QuantInputMixin):
    """What the three have in common."""

    default_quant_desc_input = tensor_quant.QUANT_DESC_8BIT_PER_TENSOR
    _input_quantizer: TensorQuantizer


class QuantInstanceNorm1d(_QuantInstanceNorm, float_nn.InstanceNorm1d):
    """`float_nn.InstanceNorm1d` on a quantised input (batch, num_features, length).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantInstanceNorm2d(_QuantInstanceNorm, float_nn.InstanceNorm2d):
    """`float_nn.InstanceNorm2d` on a quantised input (batch, num_features, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """


class QuantInstanceNorm3d(_QuantInstanceNorm, float_nn.InstanceNorm3d):
    """`float_nn.InstanceNorm3d` on a quantised input (batch, num_features, depth, height, width).

    Arguments as there, and `quant_desc_input` (default: 8 bits, one amax). TypeError for another keyword, ValueError
    for a descriptor of real quantisation.
    """

"""Instance normalisation with a quantised input (batch, num_features, *sizes).

Arguments as the float layers', and `quant_desc_input`; by default 8 bits with one amax. TypeError for another keyword
argument, ValueError for a descriptor of real quantisation.
"""
from __future__ import annotations

from ... import float_nn
from ..._core.input_layers import InstanceNormRules
from ._utils import QuantInputMixin

__all__ = ["QuantInstanceNorm1d", "QuantInstanceNorm2d", "QuantInstanceNorm3d"]


class QuantInstanceNorm1d(InstanceNormRules, QuantInputMixin, float_nn.InstanceNorm1d):
    """`float_nn.InstanceNorm1d` on a quantised input."""


class QuantInstanceNorm2d(InstanceNormRules, QuantInputMixin, float_nn.InstanceNorm2d):
    """`float_nn.InstanceNorm2d` on a quantised input."""


class QuantInstanceNorm3d(InstanceNormRules, QuantInputMixin, float_nn.InstanceNorm3d):
    """`float_nn.InstanceNorm3d` on a quantised input."""

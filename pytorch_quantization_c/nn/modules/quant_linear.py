"""The quantised linear layer."""
from __future__ import annotations

from typing import Any

from ... import float_nn, tensor_quant
from ..._core.layer_rules import LinearRules
from ...float_nn import functional as F
from ...float_nn.checks import Array
from . import _utils

__all__ = ["Linear", "QuantLinear"]


class QuantLinear(LinearRules[Array], _utils.QuantMixin, float_nn.Linear):
    """`float_nn.Linear` on quantised arrays: input (..., in_features), weight (out_features, in_features).

    Args:
        in_features, out_features, bias: as `float_nn.Linear`.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, with one amax for the input and one
            for each row of the weight (`set_default_quant_desc_input`, `set_default_quant_desc_weight`).

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW

    def _linear(self, input: Any, weight: Any) -> Any:
        return F.linear(input, weight, self.bias)


Linear = QuantLinear

"""The quantised linear layer."""
from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ...._core.layer_rules import LinearRules
from ... import tensor_quant
from . import _utils

__all__ = ["Linear", "QuantLinear", "tensor_quant"]


FLOAT = nn.Linear       # whatever stands under the name in torch.nn later


class QuantLinear(LinearRules[Tensor], _utils.QuantMixin, nn.Linear):
    """`torch.nn.Linear` on quantised tensors: input (..., in_features), weight (out_features, in_features).

    Args:
        in_features, out_features, bias, device, dtype: as `torch.nn.Linear`.
        **kwargs: `quant_desc_input` and `quant_desc_weight`; by default 8 bits, with one amax for the input and one
            for each row of the weight (`set_default_quant_desc_input`, `set_default_quant_desc_weight`).

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None,
                 **kwargs: Any) -> None:
        FLOAT.__init__(self, in_features, out_features, bias, device, dtype)
        self.init_quantizer(*_utils.pop_quant_desc_in_kwargs(type(self), **kwargs))

    def _linear(self, input: Tensor, weight: Tensor) -> Tensor:
        return F.linear(input, weight, self.bias)


Linear = QuantLinear

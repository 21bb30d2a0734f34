"""For custom quantised layers: the mixins and the keyword arguments of the descriptors."""
from __future__ import annotations

from torch.nn import ModuleList

from ...._core.integer_layer import EngineOfLayer, IntegerLayer
from ...._core.layer_rules import QuantInputRules, QuantRules, pop_quant_desc_in_kwargs
from ..._integer import TensorEngine
from ...tensor_quant import QUANT_DESC_8BIT_PER_TENSOR, QuantDescriptor
from .tensor_quantizer import TensorQuantizer

__all__ = ["QUANT_DESC_8BIT_PER_TENSOR", "QuantDescriptor", "QuantInputMixin", "QuantMixin", "TensorQuantizer",
           "pop_quant_desc_in_kwargs"]


class QuantMixin(IntegerLayer, QuantRules):
    """Adds quantisers of input and weight to a layer: inherit from the float layer and from this.

    `__init__` takes `**kwargs`, calls the float layer's `__init__`, then
    `self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))`; `forward` calls `self.input_quantizer` and
    `self.weight_quantizer`.
    """

    _engine = EngineOfLayer(TensorEngine)
    _new_quantizer = TensorQuantizer
    _new_list = ModuleList


class QuantInputMixin(QuantInputRules):
    """Adds a quantiser of the input to a layer; as `QuantMixin`, with `input_only` for the descriptors."""

    _new_quantizer = TensorQuantizer
    _new_list = ModuleList

"""Groups of parameters, freezing, and weights quantised where they lie."""
from __future__ import annotations

from .._core.parameter_groups import (
    freeze_parameters,
    group_parameters,
    layers_with_quantized_weight,
    match_parameters,
)
from ..float_nn.module import Module

__all__ = ["freeze_parameters", "group_parameters", "match_parameters", "quant_weight_inplace"]


def quant_weight_inplace(model: Module) -> None:
    """Puts quantised weights in the place of the weights of all layers that have a `weight_quantizer`.

    Relax and round, instead of a gradient that pretends rounding were the identity. Recurrent layers, which quantise
    several weights as one array, are left alone.
    """
    for module in layers_with_quantized_weight(model):
        module.weight[...] = module._weight_quantizer(module.weight)

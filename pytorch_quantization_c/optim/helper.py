"""Groups of parameters, freezing, and weights quantised in place."""
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
    """Replaces the weights of all layers that have a `weight_quantizer` by quantised ones.

    Relax and round, instead of a straight-through gradient. Recurrent layers, which quantise
    several weights as one array, are left alone.
    """
    for module in layers_with_quantized_weight(model):
        module.weight[...] = module._weight_quantizer(module.weight)

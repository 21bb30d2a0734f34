"""Groups of parameters, freezing, and weights quantised where they lie."""
from __future__ import annotations

import logging

from .._core.parameter_groups import freeze_parameters, group_parameters, match_parameters
from ..float_nn import Module

__all__ = ["freeze_parameters", "group_parameters", "match_parameters", "quant_weight_inplace"]

logger = logging.getLogger(__name__)


def quant_weight_inplace(model: Module) -> None:
    """Puts quantised weights in the place of the weights of all layers that have a `weight_quantizer`.

    Relax and round, instead of a gradient that pretends rounding were the identity. Recurrent layers, which quantise
    several weights as one array, are left alone.
    """
    for name, module in model.named_modules():
        quantizer = getattr(module, "_weight_quantizer", None)
        if hasattr(module, "_weight_quantizers") or (quantizer is not None and not hasattr(module, "weight")):
            logger.warning("%s has no single weight: it is left as it is", name or "the model")
            continue
        if quantizer is None:
            continue
        if not quantizer.fake_quant:
            logger.warning("The weight of %s becomes integers: use the model for inference only", name or "the model")
        logger.info("Quantise the weight of %s in place", name or "the model")
        module.weight[...] = quantizer(module.weight)

"""Weights that a file holds as integers, dequantised before they are quantised again."""
from __future__ import annotations

import onnx_ir as ir

from ..nodes import quantizers
from ..representation.arithmetic import fake_quantize
from ..representation.constants import new_constant
from .editing import bypass


def dequantize_weights(model: ir.Model) -> None:
    """Replaces quantised constants by the numbers they stand for.

    Raises:
        ValueError: a quantiser of an activation: the model has been quantised before.
    """
    for found in tuple(quantizers(model)):
        if not found.is_weight or found.input.const_value is None:
            raise ValueError(f"Expected a float model, got one with the quantiser {found.name!r}: quantise the model "
                             "that it was made from")
        array = fake_quantize(found.input.const_value.numpy(), found.amax, found.spec)
        bypass(found.node, new_constant(model.graph, array, f"{found.input.name}.dequantized"))

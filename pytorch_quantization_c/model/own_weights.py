"""Weights of layers that calibration did not reach, which need no data."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np


def collect_own_weights(model: Any, unseen: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Calibrates the weight quantisers among `unseen` on their own weights; yields them one by one.

    Args:
        model: a module of either front.
        unseen: names and quantisers whose calibrators have collected nothing.
    """
    wanted = {id(quantizer): name for name, quantizer in unseen}
    for _, layer in model.named_modules() if wanted else ():
        for quantizer, weights in _weights_of(layer):
            name = wanted.get(id(quantizer))
            if name is None or any(weight is None for weight in weights):
                continue
            arrays = [np.asarray(quantizer._numbers(weight)) for weight in weights]
            _show(quantizer, arrays[0] if len(arrays) == 1 else np.concatenate(arrays, 1))
            yield name, quantizer


def _weights_of(layer: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Each weight quantiser of a layer, and the weights that it quantises as one."""
    children = getattr(layer, "_modules", {})
    one, several = children.get("_weight_quantizer"), children.get("_weight_quantizers")
    if one is not None and hasattr(layer, "weight_ih"):
        yield one, (layer.weight_ih, layer.weight_hh)
    elif one is not None:
        yield one, (getattr(layer, "weight", None),)
    if isinstance(several, Iterable) and hasattr(layer, "all_weights"):
        yield from ((quantizer, weights[:2]) for quantizer, weights in zip(several, layer.all_weights, strict=True))
    projections = children.get("_projection_quantizers")
    if isinstance(projections, Iterable) and hasattr(layer, "all_weights"):
        yield from ((each, weights[-1:]) for each, weights in zip(projections, layer.all_weights, strict=True))


def _show(quantizer: Any, weight: Any) -> None:
    """Lets a quantiser collect a weight without quantising."""
    before = quantizer._if_quant, quantizer._if_calib
    quantizer._if_quant, quantizer._if_calib = False, True
    try:
        quantizer(quantizer._new_buffer(weight))
    finally:
        quantizer._if_quant, quantizer._if_calib = before

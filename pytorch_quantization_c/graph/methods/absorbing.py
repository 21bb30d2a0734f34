"""High biases on float graphs, absorbed by the next layers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ...methods.bias_absorption import ChannelSpread
from ...methods.gains import Gain
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..passes.editing import attribute, is_op, set_constant
from ..passes.layers import Layer
from ..placement.choices import Choices
from .equalizing import Pair, Vector, layer_at, pair_from

KEEPS_SUMMANDS = ("Relu", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Flatten")


def absorb_biases(model: ir.Model, layers: Sequence[ir.Node], samples: Sequence[Feeds],
                  choices: Choices) -> list[Gain]:
    """Moves the nearly always positive part of each channel into the biases of the layers that read it, in place.

    A pair is that of equalization with a ReLU between, whose layers have biases and whose second one pads nothing.

    Args:
        layers: the nodes that may be changed.
        samples: inputs of the model.
    """
    found = [pair for node in layers if (pair := pair_from(node, set(layers))) and _suits(pair)]
    spreads = {str(pair.first.outputs[0].name): ChannelSpread(layer_at(pair.first).channel_axis) for pair in found}
    run = Interpreter(model.clone())
    for feeds in samples:
        run.run(feeds, [], lambda name, array: spreads[name].add(array), spreads)
    gains = []
    for pair in found:
        spread = spreads[str(pair.first.outputs[0].name)]
        if spread.count and spread.absorbed().max(initial=0) > 0:
            _absorb(pair, spread.absorbed())
            gains.append(Gain("bias_absorption", str(pair.second.name), *spread.decibels()))
    return gains


def _suits(pair: Pair) -> bool:
    second, between = layer_at(pair.second), pair.between
    unpadded = not any(attribute(pair.second, "pads", [])) and attribute(pair.second, "auto_pad", "NOTSET") in (
        "NOTSET", "VALID")
    return layer_at(pair.first).bias is not None and second.bias is not None and unpadded and \
        pair.second.op_type in ("Conv", "Gemm") and any(is_op(node, "Relu") for node in between) and \
        all(is_op(node, *KEEPS_SUMMANDS) and not any(attribute(node, "pads", [])) for node in between) and \
        (second.groups == 1 or second.groups == second.in_channels)


def _absorb(pair: Pair, high: Vector) -> None:
    first, second = layer_at(pair.first), layer_at(pair.second)
    assert first.bias is not None and second.bias is not None
    set_constant(pair.first, 2, np.asarray(first.bias - high, np.float32), "absorbed")
    set_constant(pair.second, 2, np.asarray(second.bias + _through(second, high), np.float32), "absorbed")


def _through(layer: Layer, high: Vector) -> Vector:
    """The layer's result for one number per channel."""
    weight: Any = layer.weight.astype(np.float64)
    if layer.groups > 1:
        return np.asarray(weight.reshape(len(weight), -1).sum(axis=1) * np.repeat(high, len(weight) // len(high)))
    rows = np.moveaxis(weight, layer.out_axis, 0)
    return np.asarray(rows.reshape(layer.channels, layer.in_channels, -1).sum(axis=2) @ high)

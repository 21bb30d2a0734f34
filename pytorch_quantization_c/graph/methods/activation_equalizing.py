"""Equalised input channels of depthwise convolutions, which share one range: SmoothQuant where it costs nothing.

Weights with a range for each output channel do not mind when a layer's output channels are multiplied by factors, and
those of a depthwise convolution not when its input channels are divided by them. What lies between is rounded with one
range for all channels: it has less noise the more alike they are. Factors are those of Xiao, Lin, Seznec, Wu, Demouth,
Han: SmoothQuant (2022), equation 4, of the activations alone with alpha = 0.5, so that a channel keeps room for values
that no sample has shown. A ReLU6 between stays as it is: factors are at least 1, so what it gives on the samples is
what it gave times the factor, and beyond that lies more than the range that the second layer's input has.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from ..._core.noise import decibels
from ...methods.equalization import ACTIVATION_ALPHA, activation_factor
from ...methods.gains import Gain
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..placement.choices import Choices
from .equalizing import Pair, Vector, layer_at, pair_from, scale_pair


class _Read(NamedTuple):
    """What a layer reads: the largest magnitude of each channel, and the sum of its squares."""

    largest: Vector
    squares: Vector


def equalizable(layers: Sequence[ir.Node], choices: Choices) -> list[Pair]:
    """The pairs of layers between which channels may be multiplied by factors."""
    return [pair for node in layers if (pair := pair_from(node, set(layers))) and _suits(pair, choices)]


def equalize_activations(model: ir.Model, layers: Sequence[ir.Node], samples: Sequence[Feeds],
                         choices: Choices) -> list[Gain]:
    """Multiplies channels ahead of depthwise convolutions by factors, in place; the model's function is unchanged.

    Behind a ReLU6, values above what the samples have shown may be cut off earlier.

    Args:
        layers: the nodes that are to be quantised.
        samples: inputs of the model.
    """
    found = equalizable(layers, choices)
    readers = {str(pair.second.inputs[0].name): pair.second for pair in found if pair.second.inputs[0] is not None}
    seen: dict[ir.Node, _Read] = {}

    def observe(name: str, array: Any) -> None:
        wide = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError("Expected finite inputs of layers, got NaN or infinity")
        largest, squares = np.abs(wide).max(axis=1, initial=0), np.square(wide).sum(axis=1)
        before = seen.get(readers[name])
        seen[readers[name]] = _Read(largest, squares) if before is None else \
            _Read(np.maximum(before.largest, largest), before.squares + squares)

    run = Interpreter(model.clone())
    for feeds in samples:
        run.run(feeds, [], observe, readers)
    return [_equalize(pair, seen[pair.second]) for pair in found if seen[pair.second].largest.max(initial=0) > 0]


def _suits(pair: Pair, choices: Choices) -> bool:
    """Whether the channels of both layers have ranges of their own, and the second one's are apart."""
    second = layer_at(pair.second)
    weights = [choices.descriptor(node, "weight") for node in (pair.first, pair.second)]
    return all(each.axis == 0 and each.blocks is None for each in weights) and pair.first.op_type == "Conv" and \
        pair.second.op_type == "Conv" and second.groups == second.in_channels > 1


def _equalize(pair: Pair, seen: _Read) -> Gain:
    factor = activation_factor(seen.largest, ACTIVATION_ALPHA)
    layer = layer_at(pair.second)
    weights = np.square(layer.weight, dtype=np.float64).reshape(len(factor), -1).sum(axis=1)
    signal = float(weights @ seen.squares)
    before, after = (decibels(signal, float((seen.largest * each).max() ** 2 * (weights / each ** 2).sum()))
                     for each in (np.ones_like(factor), factor))
    scale_pair(pair, factor)
    return Gain("activation_equalization", str(pair.second.name), before, after)

"""Methods for pairs of a model's layers: equal ranges of weights or of activations, and high biases."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.noise import decibels
from .bias_absorption import ChannelSpread
from .equalization import ACTIVATION_ALPHA, activation_factor
from .gains import Gain
from .layer_rounding import WeightProblem
from .module_layers import WeightLayer, numbers, renewed, watched
from .module_pairs import LayerPair, equalize_pairs, kind_of

__all__ = ["BETWEEN"]

KEEPS_SUMMANDS = ("ReLU", "MaxPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "Identity", "Dropout")

Array = NDArray[Any]
Run = Callable[[], None]


def equalize(pairs: list[LayerPair], run: Run) -> list[Gain]:
    """Equal ranges of weights.

    Through a ReLU6, which stays as it is, only of channels that it cuts off nowhere in the samples.
    """
    largest: dict[str, Any] = {}

    def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
        answer = call()
        x = numbers(answer)
        if not np.isfinite(x).all():
            raise ValueError("Expected finite outputs of layers, got NaN or infinity")
        channels = np.moveaxis(x, layer.channel_axis(x), 0).astype(np.float64)
        largest[layer.name] = np.maximum(largest.get(layer.name, 0),
                                         channels.max(axis=tuple(range(1, channels.ndim)), initial=0))
        return answer

    clipped = [pair.first for pair in pairs if pair.clips]
    if clipped:
        with watched(clipped, observe):
            run()
    pairs = [pair for pair in pairs if not pair.clips or pair.first.name in largest]
    chosen = {layer.name: layer for pair in pairs for layer in (pair.first, pair.second)}
    before = {name: _noise(layer) for name, layer in chosen.items()}
    equalize_pairs(pairs, largest)
    for layer in chosen.values():
        layer.reset_range()
    return [Gain("equalization", name, before[name], _noise(layer)) for name, layer in chosen.items()]


def absorb(pairs: list[LayerPair], run: Run) -> list[Gain]:
    """High biases go into the next layer."""
    found = [pair for pair in pairs if _absorbs(pair)]
    spreads: dict[str, ChannelSpread] = {}

    def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
        answer = call()
        array = numbers(answer)
        spreads.setdefault(layer.name, ChannelSpread(layer.channel_axis(array))).add(array)
        return answer

    with watched([pair.first for pair in found], observe):
        run()
    gains = []
    for pair in found:
        spread = spreads.get(pair.first.name)
        high = None if spread is None or not spread.count else spread.absorbed()
        if spread is not None and high is not None and high.max(initial=0) > 0:
            first, second = pair.first.module, pair.second.module
            first.bias = renewed(first.bias, numbers(first.bias) - high)
            second.bias = renewed(second.bias, numbers(second.bias) + _through(pair.second, high))
            gains.append(Gain("bias_absorption", pair.second.name, *spread.decibels()))
    return gains


def _absorbs(pair: LayerPair) -> bool:
    module = pair.second.module
    padding = not pair.second.is_conv or not any(module._reversed_padding_repeated_twice)
    kinds = [kind_of(each) for each in pair.between]
    return padding and pair.first.module.bias is not None and module.bias is not None and "ReLU" in kinds and \
        all(kind in KEEPS_SUMMANDS for kind in kinds) and not any(_pads(each) for each in pair.between)


def _pads(module: Any) -> bool:
    return bool(np.any(getattr(module, "padding", 0)))


def _through(layer: WeightLayer, high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The layer's result for one number per channel."""
    weight = layer.weight.astype(np.float64)
    sums = weight.reshape(layer.groups, len(weight) // layer.groups, weight.shape[1], -1).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", sums, high.reshape(layer.groups, -1)).reshape(-1))


def equalize_activations(pairs: list[LayerPair], run: Run) -> list[Gain]:
    """Alike ranges of the channels that depthwise convolutions read.

    Factors are at least 1, so a ReLU6 between clips nothing that the samples contain.
    """
    found = [pair for pair in pairs if _is_depthwise(pair)]
    largest: dict[str, Any] = {}
    squares: dict[str, Any] = {}

    def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
        x = numbers(input)
        wide = np.moveaxis(x, layer.channel_axis(x), 0).reshape(x.shape[layer.channel_axis(x)], -1).astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError("Expected finite inputs of layers, got NaN or infinity")
        largest[layer.name] = np.maximum(largest.get(layer.name, 0), np.abs(wide).max(axis=1, initial=0))
        squares[layer.name] = squares.get(layer.name, 0) + np.square(wide).sum(axis=1)
        return call()

    with watched([pair.second for pair in found], observe):
        run()
    gains = []
    for pair in found:
        most = largest.get(pair.second.name)
        if most is not None and most.max(initial=0) > 0:
            factor = activation_factor(most, ACTIVATION_ALPHA)
            weights = np.square(pair.second.weight.astype(np.float64)).reshape(len(factor), -1).sum(axis=1)
            signal = float(weights @ squares[pair.second.name])
            before, after = (decibels(signal, float((most * each).max() ** 2 * (weights / each ** 2).sum()))
                             for each in (np.ones_like(factor), factor))
            pair.scale(factor)
            gains.append(Gain("activation_equalization", pair.second.name, before, after))
    return gains


def _is_depthwise(pair: LayerPair) -> bool:
    second = pair.second
    each = [layer.module.weight_quantizer.axis is not None and layer.module.weight_quantizer.blocks is None
            for layer in (pair.first, second)]
    return all(each) and pair.first.is_conv and second.is_conv and second.weight.shape[1] == 1 and second.groups > 1


def _noise(layer: WeightLayer) -> float:
    return math.inf if layer.bits is None else WeightProblem(layer.weight, layer.amax(), layer.bits, None).sqnr()


BETWEEN: dict[str, Callable[[list[LayerPair], Run], list[Gain]]] = {
    "equalization": equalize, "bias_absorption": absorb, "activation_equalization": equalize_activations}

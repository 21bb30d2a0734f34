"""Pairs of a model's layers with functions f between them that keep f(a x) = a f(x) for a > 0, for equalization."""
from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.models import front_of
from ..model.dataflow import Unfollowed, array_pairs
from .equalization import equalizing_factor
from .module_layers import WeightLayer, numbers, renewed

__all__ = ["LayerPair"]

BETWEEN = ("ReLU", "LeakyReLU", "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "Identity", "Dropout")
CLIPS = ("ReLU6",)     # keep factors only of what they do not cut off
LIMIT = 6.0            # where they cut off
ROUNDS, CLOSE = 40, 1e-4
TINY = 1e-6            # of the limit: channels whose outputs are smaller are taken as that large

Vector = NDArray[np.float64]


class LayerPair:
    """Two layers in which only the second reads the first one's output, possibly through some of BETWEEN and CLIPS.

    Attributes:
        first, second: the layers.
        between: the modules between them.
    """

    def __init__(self, first: WeightLayer, second: WeightLayer, between: tuple[Any, ...]) -> None:
        self.first, self.second, self.between = first, second, between

    @property
    def clips(self) -> bool:
        """Whether something between the layers cuts off high values."""
        return any(kind_of(each) in CLIPS for each in self.between)

    def step(self, room: Vector | None = None) -> Vector:
        """Equalizes the ranges once; returns what the first layer's channels were multiplied by.

        Args:
            room: the largest factor of each channel, 0 for one that has to stay; None: any.
        """
        factor = equalizing_factor(_over_rows(self.first.weight), _over_columns(self.second.weight, self.second.groups))
        if room is not None:
            factor = np.where(room > 0, np.minimum(factor, room), 1)
        return self.scale(factor)

    def scale(self, factor: Vector) -> Vector:
        """Multiplies the channels between the layers by a factor each, and returns it."""
        first, second = self.first.weight, self.second.weight
        module, other = self.first.module, self.second.module
        module.weight = renewed(module.weight, _scaled_rows(first, factor))
        if module.bias is not None:
            module.bias = renewed(module.bias, numbers(module.bias).astype(np.float64) * factor)
        other.weight = renewed(other.weight, _scaled_columns(second, 1 / factor, self.second.groups))
        return factor


def layer_pairs(model: Any, layers: list[WeightLayer]) -> list[LayerPair]:
    """The pairs in a model. ValueError for one whose `forward` cannot be followed without data."""
    try:
        flow = import_module("pytorch_quantization_c.torch._dataflow").tensor_pairs(model) \
            if front_of(model) == "torch" else array_pairs(model)
    except Unfollowed as error:
        raise ValueError("Expected a model whose `forward` can be followed without data for the method 'equalization', "
                         f"got one where {error}") from None
    after = {id(source): reader for source, reader in flow}
    known = {id(layer.module): layer for layer in layers if not layer.is_shared and not layer.is_transposed
             and layer.module.input_quantizer.pre_quant_scale is None and not _learns(layer)}
    found = []
    for layer in known.values():
        reader, between = after.get(id(layer.module)), []
        while reader is not None and id(reader) not in known and kind_of(reader) in (*BETWEEN, *CLIPS):
            between.append(reader)
            reader = after.get(id(reader))
        second = known.get(id(reader))
        if second is not None and _channels_in(second) == len(layer.weight):
            found.append(LayerPair(layer, second, tuple(between)))
    return found


def equalize_pairs(pairs: list[LayerPair], largest: Mapping[str, Vector]) -> dict[str, Vector]:
    """Equalizes pair by pair until all chains have settled; the factor of each first layer's channels, by its name.

    Args:
        largest: outputs of the first layers of pairs that clip, by channel.
    """
    total = {pair.first.name: np.ones(len(pair.first.weight)) for pair in pairs}
    for _ in range(ROUNDS):
        moved = 0.0
        for pair in pairs:
            most, done = largest.get(pair.first.name), total[pair.first.name]
            factor = pair.step(None if most is None else _room(most, done))
            total[pair.first.name] = done * factor
            moved = max(moved, float(np.abs(np.log(factor)).max(initial=0)))
        if moved < CLOSE:
            break
    return total


def _room(most: Vector, done: Vector) -> Vector:
    """How much larger outputs may become that were `most`, and have been multiplied by `done`; 0 where LIMIT cuts."""
    return np.where(most < LIMIT, LIMIT / (np.maximum(most, TINY * LIMIT) * done), 0)


def _learns(layer: WeightLayer) -> bool:
    return any(quantizer._learn_amax for quantizer in (layer.module.input_quantizer, layer.module.weight_quantizer))


def kind_of(module: Any) -> str:
    """The name of a layer of torch or of this package, without the number of its axes; "" for any other module."""
    names = {cls.__name__.rstrip("123d") for cls in type(module).__mro__ if cls.__module__.startswith(
        ("torch.nn.", "pytorch_quantization_c."))}
    return type(module).__name__.rstrip("123d") if names and not list(module.children()) else ""


def _channels_in(layer: WeightLayer) -> int:
    return int(layer.weight.shape[1]) * layer.groups


def _over_rows(weight: NDArray[Any]) -> Vector:
    return np.asarray(np.abs(weight).reshape(len(weight), -1).max(axis=1, initial=0), np.float64)


def _over_columns(weight: NDArray[Any], groups: int) -> Vector:
    split = np.abs(weight).reshape(groups, len(weight) // groups, weight.shape[1], -1)
    return np.asarray(split.max(axis=(1, 3), initial=0).reshape(-1), np.float64)


def _scaled_rows(weight: NDArray[Any], factor: Vector) -> NDArray[Any]:
    return np.asarray(weight * factor.reshape(-1, *[1] * (weight.ndim - 1)))


def _scaled_columns(weight: NDArray[Any], factor: Vector, groups: int) -> NDArray[Any]:
    split = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1).astype(np.float64)
    return np.asarray((split * factor.reshape(groups, 1, -1, 1)).reshape(weight.shape))

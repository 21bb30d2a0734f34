"""Batch normalisation folded into the layer before it, for models of both fronts."""
from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._core.errors import shown
from .._core.models import front_of, is_frozen, require_module
from .dataflow import Unfollowed, array_pairs
from .rollback import whole_or_not_at_all

__all__ = ["fold_batch_norm"]

M = TypeVar("M")
Array = NDArray[np.float64]
LAYERS = ("Linear", "_ConvNd")  # classes that a layer derives from, in either front
NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")


class Pair(NamedTuple):
    """A layer and the normalisation behind it, with their names in the model."""

    layer: Any
    norm: Any
    names: tuple[str, str]


def fold_batch_norm(model: M, pairs: Iterable[Sequence[str]] | None = None) -> M:
    """Folds batch normalisation into the convolution or linear layer before it, in place.

    With f = weight / sqrt(running_var + eps), the layer's weight becomes weight * f for each output channel and its
    bias (bias - running_mean) * f + the normalisation's bias, computed in float64 and rounded once; the normalisation
    becomes an Identity. Where the layer's weight quantiser has an amax for each output channel, it is scaled by |f|.
    A pair is folded if nothing else reads the layer's output and both are called once, which is found by following
    the model's `forward` without data; other normalisation is unchanged.

    Args:
        model: a model of `float_nn` or of torch in evaluation mode; quantised layers, groups and transposed
            convolutions included.
        pairs: the names of a layer and of the normalisation behind it, as [("conv1", "bn1"), ...]; for a model whose
            `forward` cannot be followed.

    Returns:
        `model`. Layers that cannot be folded into (frozen ones, shared weights, one amax for a whole
        weight) are named in one UserWarning.

    Raises:
        TypeError: `model` is not a module.
        ValueError: a normalisation in training mode, a `forward` that cannot be followed, or `pairs` that name no such
            layers; the model is then unchanged.
    """
    require_module(model)
    found = _pairs(model) if pairs is None else [_named_pair(model, pair) for pair in pairs]
    left = []
    with whole_or_not_at_all(model):
        for pair in found:
            if pair.norm.training:
                raise ValueError(f"Expected a model in evaluation mode, got {pair.names[1]!r} in training mode: "
                                 "call `eval()` first")
            reason = _refusal(model, pair)
            if reason is None:
                _fold(model, pair)
            else:
                left.append(f"{pair.names[1]} behind {pair.names[0]}: {reason}")
    if left:
        warnings.warn("Batch normalisation that was not folded: " + "; ".join(left), UserWarning, stacklevel=2)
    return model


def _is_one_of(module: Any, names: tuple[str, ...]) -> bool:
    return any(cls.__name__ in names and cls.__module__.startswith(("torch.nn.", "pytorch_quantization_c."))
               for cls in type(module).__mro__)


def _pairs(model: Any) -> list[Pair]:
    """The pairs that `forward` has, in its order."""
    names = {id(module): name for name, module in model.named_modules()}
    try:
        if front_of(model) == "torch":
            flow = import_module("pytorch_quantization_c.torch._dataflow").tensor_pairs(model)
        else:
            flow = array_pairs(model)
    except Unfollowed as error:
        raise ValueError(f"Expected a model whose `forward` can be followed without data, got one where {error}: name "
                         "the layers and what is behind them, pairs=[(\"conv1\", \"bn1\"), ...]") from None
    return [Pair(layer, norm, (names[id(layer)], names[id(norm)])) for layer, norm in flow
            if _is_one_of(layer, LAYERS) and _is_one_of(norm, NORMS)]


def _named_pair(model: Any, names: Sequence[str]) -> Pair:
    if isinstance(names, str) or len(names) != 2:
        raise ValueError(f"Expected `pairs` of two names each, got {shown(names)}")
    modules = dict(model.named_modules())
    for name, kinds, what in zip(names, (LAYERS, NORMS), ("a convolution or linear layer", "batch normalisation"),
                                 strict=True):
        if name not in modules or not _is_one_of(modules[name], kinds):
            raise ValueError(f"Expected `pairs` to name {what}, got {shown(name)}")
    return Pair(modules[names[0]], modules[names[1]], (names[0], names[1]))


def _refusal(model: Any, pair: Pair) -> str | None:
    """Why the normalisation behind a layer cannot be folded into it."""
    layer, norm = pair.layer, pair.norm
    if norm.running_mean is None or norm.running_var is None:
        return "it has no running statistics"
    if is_frozen(layer):
        return "the layer is frozen"
    if layer._parameters.get("weight") is None:
        return "the layer has no weight of its own"
    if sum(weight is layer.weight for module in model.modules() for weight in module._parameters.values()) > 1:
        return "the layer's weight is that of others, too"
    factor = _factor(norm)
    if factor.size != _channels(layer):
        return f"the layer has {_channels(layer)} output channels, it {factor.size}"
    return _quantizer_refusal(layer, factor)


def _quantizer_refusal(layer: Any, factor: Array) -> str | None:
    quantizer = layer._modules.get("_weight_quantizer")
    if quantizer is None:
        return None
    if quantizer._learn_amax:
        return "the range of the weight is learnt"
    if quantizer._unsigned and (factor < 0).any():
        return "an unsigned weight would become negative"
    if quantizer.amax is None:
        return None
    axis, numbers = _channel_axis(layer), _numbers(quantizer.amax)
    if numbers.size == 1 or _is_transposed(layer) and layer.groups > 1:
        return "the weight's amax is not one for each output channel: fold before calibrating"
    wanted = tuple(size if i == axis else 1 for i, size in enumerate(layer.weight.shape))
    return None if numbers.shape == wanted else f"the weight's amax has shape {numbers.shape}"


def _is_transposed(layer: Any) -> bool:
    return bool(getattr(layer, "transposed", getattr(layer, "_transposed", False)))


def _channel_axis(layer: Any) -> int:
    return 1 if _is_transposed(layer) else 0


def _channels(layer: Any) -> int:
    return int(layer.weight.shape[_channel_axis(layer)]) * (layer.groups if _is_transposed(layer) else 1)


def _numbers(value: Any) -> Array:
    """A front's array in float64."""
    return np.asarray(value.detach().cpu().double().numpy() if hasattr(value, "detach") else value, np.float64)


def _factor(norm: Any) -> Array:
    factor: Array = 1.0 / np.sqrt(_numbers(norm.running_var) + norm.eps)
    return factor if norm.weight is None else factor * _numbers(norm.weight)


def _fold(model: Any, pair: Pair) -> None:
    layer, norm, factor = pair.layer, pair.norm, _factor(pair.norm)
    weight = _numbers(layer.weight)
    if _is_transposed(layer):  # (in, out / groups, *kernel): the groups divide the inputs
        grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
        wide = factor.reshape(layer.groups, 1, weight.shape[1], *(1,) * (weight.ndim - 2))
        scaled = (grouped * wide).reshape(weight.shape)
    else:
        scaled = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = 0.0 if layer.bias is None else _numbers(layer.bias)
    shifted = (bias - _numbers(norm.running_mean)) * factor
    if norm.bias is not None:
        shifted = shifted + _numbers(norm.bias)
    like = layer.weight if layer.bias is None else layer.bias
    layer.weight, layer.bias = _renewed(layer.weight, scaled), _renewed(like, shifted)
    quantizer = layer._modules.get("_weight_quantizer")
    if quantizer is not None and quantizer.amax is not None:
        amax = _numbers(quantizer.amax)
        quantizer.amax = (amax * np.abs(factor).reshape(amax.shape)).astype(np.float32)
    _replace(model, norm)


def _renewed(like: Any, array: Array) -> Any:
    """A new parameter of the type of another."""
    if hasattr(like, "detach"):
        return type(like)(like.new_tensor(array), requires_grad=like.requires_grad)
    return type(like)(array.astype(like.dtype), like.requires_grad)


def _replace(model: Any, norm: Any) -> None:
    """Replaces a module by an Identity wherever it occurs."""
    front = "torch.nn" if front_of(norm) == "torch" else "pytorch_quantization_c.float_nn"
    identity = import_module(front).Identity()
    identity.train(norm.training)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is norm:
                parent._modules[name] = identity

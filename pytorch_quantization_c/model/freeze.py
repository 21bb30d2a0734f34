"""Freezing the integer weights of a model, and files of frozen models."""
from __future__ import annotations

import json
import logging
from typing import Any, TypeVar, cast

from .._core.errors import shown
from .._core.files import FilePath
from .._core.integer_engine import IntegerEngine
from .._core.integer_layer import IntegerLayer
from .._core.integer_state import VALUES
from .._core.models import require_module
from .._core.safetensors import load_file, save_file
from .codec import adopt, describe, described_in, rebuild
from .file_kinds import FROZEN, loader_of
from .quantizers import named_quantizers, quantizers_of
from .rollback import whole_or_not_at_all
from .training_mode import warn_of_training

__all__ = ["freeze", "load_frozen", "save_frozen"]

logger = logging.getLogger(__name__)

M = TypeVar("M")

VERSION = "1"


def freeze(model: M, keep_float: bool = True) -> M:
    """Fixes the weights of the quantised layers as integers: they are packed once and never checked again.

    A frozen layer has copies of its parameters, read-only arrays or tensors without gradients, and its weight
    quantiser is no longer used. Input quantisers work as before: calibrate them first, or leave them to find each
    input's range. A layer that is given another weight (`layer.weight = ...`, or, of a tensor, other values in place)
    follows it and is no longer frozen.

    Args:
        model: a module, on NumPy or of the torch twin. Layers whose weight has no integer form (a warning says why)
            stay as they are.
        keep_float: False drops the float weights: `layer.weight` is None, the state dictionary has `_integer_weight`
            and `_integer_scale` in their place, and a pickle or a file has a quarter of the size; weights of 2 to 4
            bits lie two in a byte, as `_integer_weight_4bit`, and take an eighth. Where such a layer must compute on
            floats, it uses the fake quantised weight.

    Returns:
        `model`.

    Raises:
        TypeError: `model` is not a module.
        ValueError: no layer of the model could be frozen.
    """
    require_module(model)
    any_model: Any = model
    layers: dict[str, Any] = {name: layer for name, layer in any_model.named_modules()
                              if isinstance(layer, IntegerLayer)
                              and getattr(layer, "_weight_quantizer", None) is not None}
    warn_of_training(model, "freeze")
    refused = {name: layer._engine.freeze(layer, keep_float) for name, layer in layers.items()}
    for name, why in refused.items():
        if why:
            logger.warning("%s is not frozen: %s.", name or "The layer", why)
    if all(refused.values()):
        raise ValueError("Expected a model with quantised layers that can be frozen, got "
                         f"{refused or 'none: call pq.replace(model) first'}")
    return model


def save_frozen(model: Any, path: FilePath) -> None:
    """Writes a model frozen with `keep_float=False`: integer weights, scales, all other state, and the quantisers.

    Of weights in groups the scales are written, not the ranges that they came from.

    Args:
        model: a module, on NumPy or of the torch twin; either loads the other's files.
        path: a file in the safetensors format, whose arrays have the names of the state dictionary. It appears whole or
            not at all.

    Raises:
        ValueError: no layer of the model is frozen without its float weight.
        OSError: the file cannot be written.
    """
    named, state = list(named_quantizers(model)), model.state_dict()
    if not any(name.endswith(VALUES) for name in state):
        raise ValueError("Expected a model after freeze(model, keep_float=False), got one without integer weights"
                         + ("" if named else ": call pq.replace(model), calibrate and freeze it first"))
    described, engine = {}, _engine_of(model)
    arrays = {name: engine.as_numpy(value) for name, value in state.items() if hasattr(value, "dtype")}
    for name, quantizer in named:
        extra: dict[str, Any] = {}
        described[name] = describe(name, quantizer, extra)
        described[name].pop("calibrator", None)
        arrays.update((key, value) for key, value in extra.items() if "._calibrator." not in f".{key}")
    for name in _group_ranges(model):
        arrays.pop(name, None)
    save_file(arrays, path, {"format": FROZEN, "version": VERSION, "quantizers": json.dumps(described)})


def load_frozen(model: M, path: FilePath) -> M:
    """Restores into `model` what `save_frozen` wrote; nothing is quantised again.

    Args:
        model: a quantised model of the same structure, frozen or not, calibrated or not; on NumPy or of the torch twin,
            whichever wrote the file.
        path: a file from `save_frozen`.

    Returns:
        `model`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged one, or one of another model's quantisers; the model is then unchanged.
        RuntimeError: parameters that differ from the model's, as in `load_state_dict`; the model is then unchanged.
    """
    require_module(model)
    arrays, metadata = load_file(path, _check_format)
    described = described_in(metadata)
    present = quantizers_of(model)
    if set(described) != set(present):
        raise ValueError(f"Expected a file for the quantisers {sorted(present)}, got one for {sorted(described)}")
    made = {name: rebuild(name, present[name], described[name], arrays) for name in present}
    loaded, engine = cast(Any, model), _engine_of(model)
    state = {name: value for name, value in loaded.state_dict().items() if _is_of_quantizer(name, present)}
    with whole_or_not_at_all(model):
        loaded.load_state_dict(state | {name: engine.from_numpy(value) for name, value in arrays.items()
                                        if not _is_of_quantizer(name, present)})
        for name, fresh in made.items():
            fresh._calibrator = present[name]._calibrator
            adopt(present[name], fresh)
    return model


def _group_ranges(model: Any) -> list[str]:
    """The names of what files omit: ranges of weights in groups, as many as their scales, where only integers are
    left."""
    return [f"{name}._weight_quantizer._amax".lstrip(".") for name, layer in model.named_modules()
            if isinstance(layer, IntegerLayer) and layer._engine.has_no_float(layer)
            and getattr(cast(Any, layer)._weight_quantizer, "_block_sizes", None) is not None]


def _engine_of(model: Any) -> IntegerEngine[Any]:
    """Some engine of a model, which can convert its front's arrays. ValueError if no layer has one."""
    layer: Any = next((each for each in model.modules() if isinstance(each, IntegerLayer)), None)
    if layer is None:
        raise ValueError("Expected `model` to have quantised layers with weights, got none")
    engine: IntegerEngine[Any] = layer._engine
    return engine


def _check_format(metadata: dict[str, str]) -> None:
    if metadata.get("format") != FROZEN or metadata.get("version") != VERSION:
        other = "" if metadata.get("format") == FROZEN else loader_of(metadata)
        raise ValueError(f"Expected a frozen model of version {VERSION}, got {shown(metadata.get('format'))} of "
                         f"version {shown(metadata.get('version'))}{other}")


def _is_of_quantizer(array: str, quantizers: dict[str, Any]) -> bool:
    return any(array.startswith(f"{name}." if name else "") for name in quantizers)

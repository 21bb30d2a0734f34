"""Checkpoints of the project compressed-tensors: `config.json` with a `quantization_config`."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.element_codes import pack_codes, scale_codes
from .._core.errors import shown
from .._core.quantization import Quantization
from .folder import CONFIG, write
from .layers import (
    LARGEST,
    NVFP4_BLOCK,
    Arrays,
    check_scales,
    codes_of,
    float8,
    floats_of,
    has_own_range,
    has_row_ranges,
    input_amax,
    layers_of,
    one_kind,
    prefix,
    warn_of_inputs,
)

FORMATS = {"int8": "int-quantized", "int4": "pack-quantized", "fp8": "float-quantized", "nvfp4": "nvfp4-pack-quantized"}
SCHEMES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "int8": (8, "int", ("tensor", "channel")), "int4": (4, "int", ("group", "channel")),
    "fp8": (8, "float", ("tensor", "channel")), "nvfp4": (4, "float", ("tensor_group",))}
#: Range of inputs by their step, for each type and number of bits.
BOUNDS = {("int", 8): np.float32(127), ("int", 4): np.float32(7), ("float", 8): np.float32(448), ("float", 4): LARGEST}
ORDERS = (None, False, "weight", "static")  # orders of columns that leave them where they are


def save_compressed_tensors(model: Any, folder: str | os.PathLike[str]) -> None:
    """Writes `model.safetensors` and a `config.json` with a `quantization_config` of the project compressed-tensors.

    Args:
        model: a model of either front whose quantised linear layers all have one of the formats of this module.
        folder: made if it is not there; files of these names are replaced, and what the other format's JSON file says
            of quantisation is removed.

    Inputs are described in the format of the weights, with a fixed range, a dynamic one, or one for each row ("token");
    those of 4-bit integers as floats, or with a range for each row as int8. What the file cannot say of an input is a
    warning with the layer's name.

    Raises:
        ValueError: no quantised linear layers, another format, or several; a layer frozen without its float weight, an
            odd number of inputs in NVFP4, or a `pre_quant_scale`.
    """
    layers = layers_of(model)
    kind, arrays = one_kind(layers), floats_of(model, layers)
    warn_of_inputs(layers)
    check_scales(model, {})
    for name, layer in layers.items():
        codes, found = codes_of(layer)
        arrays.update({prefix(name) + key: array for key, array in _compressed(kind, codes, found).items()})
        amax = input_amax(layer)
        if amax is not None:
            inverse = kind == "nvfp4"
            value = LARGEST / amax if inverse else amax / np.float32(448 if kind == "fp8" else 127)
            arrays[prefix(name) + ("input_global_scale" if inverse else "input_scale")] = np.array([value], np.float32)
    write(folder, arrays, CONFIG, {"quantization_config": _compressed_config(kind, model, layers)})


def _compressed(kind: str, codes: NDArray[Any], found: Quantization) -> Arrays:
    scale = found.step if found.scale_bits is None else found.scale
    if kind == "int8":
        return {"weight": codes, "weight_scale": scale.reshape(-1, 1) if scale.size > 1 else scale.reshape(1)}
    if kind == "fp8":
        return {"weight": codes.view(float8()), "weight_scale": scale.reshape(-1, 1) if scale.size > 1
                else scale.reshape(1)}
    if kind == "nvfp4":
        return {"weight_packed": pack_codes(codes, 4), "weight_scale": scale_codes(scale, (4, 3)).view(float8()),
                "weight_global_scale": np.array([1 / np.float32(found.global_scale)], np.float32)}
    return {"weight_packed": _int32(codes), "weight_scale": scale, "weight_shape": np.array(codes.shape, np.int64)}


def _int32(codes: NDArray[np.int8]) -> NDArray[np.int32]:
    """Eight 4-bit codes, 8 added to each, in an int32, the first one lowest."""
    outputs, inputs = codes.shape
    padded = np.zeros((outputs, -(-inputs // 8) * 8), np.uint8)
    padded[:, :inputs] = codes + np.int8(8)
    return pack_codes(padded, 4).view("<i4")


def _compressed_config(kind: str, model: Any, layers: dict[str, Any]) -> dict[str, Any]:
    quantizer = next(iter(layers.values())).weight_quantizer
    group = quantizer.blocks.size if quantizer.blocks is not None else None
    strategy = {"nvfp4": "tensor_group", "int4": "group"}.get(kind, "tensor" if quantizer.axis is None else "channel")
    weights = {"num_bits": {"int8": 8, "fp8": 8}.get(kind, 4), "type": "float" if kind in ("fp8", "nvfp4") else "int",
               "symmetric": True, "strategy": strategy, "group_size": group, "dynamic": False}
    ignored = [name for name, module in model.named_modules()
               if type(module).__name__ in ("Linear", "NonDynamicallyQuantizableLinear") and name not in layers]
    schemes = {name: _input_scheme(kind, weights, layer) for name, layer in layers.items()}
    distinct = [scheme for at, scheme in enumerate(schemes.values()) if scheme not in list(schemes.values())[:at]]
    targets = [["Linear"]] if len(distinct) == 1 else [
        [name for name, each in schemes.items() if each == scheme] for scheme in distinct]
    groups = {f"group_{number}": {"targets": names, "weights": weights, "input_activations": scheme,
                                  "output_activations": None}
              for number, (names, scheme) in enumerate(zip(targets, distinct, strict=True))}
    return {"quant_method": "compressed-tensors", "format": FORMATS[kind], "quantization_status": "compressed",
            "config_groups": groups, "ignore": ignored, "kv_cache_scheme": None}


def _input_scheme(kind: str, weights: dict[str, Any], layer: Any) -> dict[str, Any] | None:
    """How a reader quantises a layer's input, in the format of the weights; None: not at all.

    Weights of 4-bit integers have float inputs there, but for a range for each row.
    """
    fixed, by_row = input_amax(layer) is not None, has_row_ranges(layer)
    scheme = {**weights, "group_size": None}
    if kind == "nvfp4":
        return {**weights, "dynamic": "local"} if fixed else None
    if by_row:
        return {**scheme, "num_bits": 8, "strategy": "token", "dynamic": True}
    if kind == "int4" or not (fixed or has_own_range(layer)):
        return None
    return {**scheme, "strategy": "tensor", "dynamic": not fixed}


def group_size(kind: str, config: dict[str, Any]) -> int | None:
    """The size that all `config_groups` share. ValueError for weights of a scheme that is not read."""
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise ValueError(f"Expected config_groups that describe the weights, got {shown(groups)}")
    sizes = {_checked_scheme(kind, name, group) for name, group in groups.items()}
    if len(sizes) != 1:
        raise ValueError(f"Expected one group_size in config_groups, got {', '.join(sorted(map(str, sizes)))}")
    return sizes.pop()


def input_bound(kind: str, config: dict[str, Any]) -> np.float32 | None:
    """The range of a layer's input divided by its step; None where that is not one number, or zero points are needed.

    Of 4-bit integers `save_compressed_tensors` writes the step of int8 inputs, whatever the scheme says.
    """
    schemes = [group.get("input_activations") for group in config["config_groups"].values()]
    bounds = {_bound(each) for each in schemes if each is not None}
    if len(bounds) > 1:
        return None
    number = "int" if kind in ("int8", "int4") else "float"
    return bounds.pop() if bounds else BOUNDS[number, 4 if kind == "nvfp4" else 8]


def _bound(scheme: Any) -> np.float32 | None:
    if not isinstance(scheme, dict) or scheme.get("symmetric", True) is not True:
        return None
    said = scheme.get("type", "int"), scheme.get("num_bits", 8)
    return next((bound for each, bound in BOUNDS.items() if each == said), None)


def _checked_scheme(kind: str, name: str, group: Any) -> int | None:
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        raise ValueError(f"Expected config_groups.{name} to describe weights, got {shown(weights)}")
    bits, number, strategies = SCHEMES[kind]
    rules: dict[str, tuple[Any, tuple[Any, ...]]] = {  # what stands for a key that is not there, and what is read
        "num_bits": (8, (bits,)), "type": ("int", (number,)), "symmetric": (True, (True,)),
        "strategy": (None, (*strategies, None)), "actorder": (None, ORDERS)}
    for key, (absent, allowed) in rules.items():
        value = weights.get(key, absent)
        if value not in allowed:
            raise ValueError(f"Expected {key} of the weights of config_groups.{name} to be one of "
                             f"{', '.join(map(repr, allowed))} for {FORMATS[kind]}, got {shown(value)}")
    size = weights.get("group_size")
    if kind == "nvfp4" and size in (None, NVFP4_BLOCK):
        return NVFP4_BLOCK
    whole = size is None or size == -1
    grouped = kind == "int4" and weights.get("strategy") != "channel"
    if whole and (not grouped or weights.get("strategy") is None):
        return None
    if grouped and isinstance(size, int) and size > 0:
        return size
    raise ValueError(f"Expected a group_size that fits {FORMATS[kind]}, got {shown(size)} in config_groups.{name}")

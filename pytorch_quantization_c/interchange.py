"""Quantised linear layers in files that inference servers read: compressed-tensors, and ModelOpt's checkpoints.

A folder gets `model.safetensors` with codes and scales of every quantised linear layer and the floats of all else, and
a JSON file that says what they are: `config.json` with a `quantization_config`, or `hf_quant_config.json`. The weight's
quantiser decides: 8-bit integers with a scale for each row or one, 4-bit integers in groups, E4M3 with a scale for each
row or one, or NVFP4. Scales count what a code stands for, rounded to float32; codes are those of the quantiser.
"""
from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core.element_codes import pack_codes, scale_codes, unpack_codes
from ._core.errors import shown
from ._core.files import read_file, write_file
from ._core.formats import E2M1, E4M3, Int
from ._core.models import require_module
from ._core.quantization import Quantization
from ._core.safetensors import load_file, save_file
from .formats import quantize
from .model.quantizers import quantizers_of
from .tensor_quant import QuantDescriptor

__all__ = ["load_checkpoint", "save_compressed_tensors", "save_modelopt"]

WEIGHTS, CONFIG, HF_CONFIG = "model.safetensors", "config.json", "hf_quant_config.json"
FORMATS = {"int8": "int-quantized", "int4": "pack-quantized", "fp8": "float-quantized", "nvfp4": "nvfp4-pack-quantized"}
ALGORITHMS = {"int8": "W8A8_SQ_PER_CHANNEL", "fp8": "FP8", "nvfp4": "NVFP4"}
LARGEST = np.float32(6 * 448)
MAX_JSON = 1 << 26
NVFP4_BLOCK = 16

Arrays = dict[str, NDArray[Any]]


def _float8() -> Any:
    import ml_dtypes

    return ml_dtypes.float8_e4m3fn


def _kind_of(name: str, quantizer: Any) -> str:
    """Which of the four a weight's quantiser is. ValueError, by its name, for another."""
    blocks, format = quantizer.blocks, quantizer.format
    integer = isinstance(format, Int) and not format.unsigned and not quantizer.zero_point
    rows = quantizer.axis in (None, 0, (0,), -2)
    if integer and format.bits == 8 and blocks is None and rows:
        return "int8"
    if integer and format.bits == 4 and blocks is not None and blocks.scale_bits is None:
        return "int4"
    if format == E4M3 and blocks is None and rows:
        return "fp8"
    if format == E2M1 and blocks is not None and blocks.has_global and blocks.size == NVFP4_BLOCK:
        return "nvfp4"
    raise ValueError(f"Expected the weight quantizer of {name or 'the model'} to be int8, int4 in groups, E4M3 or "
                     f"NVFP4, got {quantizer.extra_repr()}")


def _layers(model: Any) -> dict[str, Any]:
    require_module(model)
    quantizers_of(model)
    found = {name: module for name, module in model.named_modules()
             if getattr(module, "weight_quantizer", None) is not None and getattr(module, "weight", None) is not None
             and len(module.weight.shape) == 2 and not module.weight_quantizer._disabled}
    if not found:
        raise ValueError("Expected `model` to have linear layers with quantised weights, got none")
    return found


def _codes(layer: Any) -> tuple[NDArray[Any], Quantization]:
    quantizer = layer.weight_quantizer
    amax = None if quantizer.amax is None else np.asarray(quantizer._numbers(quantizer.amax), np.float32)
    axis = None if quantizer.axis is None else 0
    descriptor = QuantDescriptor(quantizer.num_bits, axis=axis, scale_amax=quantizer._scale_amax,
                                 narrow_range=quantizer.narrow_range, block_sizes=quantizer.block_sizes)
    return quantize(np.asarray(quantizer._numbers(layer.weight), np.float32), descriptor, amax)


def _input_amax(layer: Any) -> np.float32 | None:
    """The fixed range of a layer's input, one number; None if it is another, dynamic or off."""
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer._disabled or quantizer.amax is None or quantizer.zero_point:
        return None
    amax = quantizer._numbers(quantizer.amax)
    return np.float32(amax.item()) if amax.size == 1 else None


def _one_kind(layers: dict[str, Any]) -> str:
    kinds = {_kind_of(name, layer.weight_quantizer) for name, layer in layers.items()}
    if len(kinds) != 1:
        raise ValueError(f"Expected all weights in one format, got {', '.join(sorted(kinds))}")
    return kinds.pop()


def _floats(model: Any, layers: dict[str, Any]) -> Arrays:
    """The parameters that are not quantised."""
    quantizer = next(iter(layers.values())).weight_quantizer
    taken = {id(layer.weight) for layer in layers.values()}
    return {name: np.array(quantizer._numbers(parameter)) for name, parameter in model.named_parameters()
            if id(parameter) not in taken and "_quantizer" not in name}


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _write(folder: Any, arrays: Arrays, name: str, config: dict[str, Any]) -> None:
    os.makedirs(folder, exist_ok=True)
    save_file(arrays, os.path.join(folder, WEIGHTS), {"format": "pt"})
    write_file(os.path.join(folder, name), json.dumps(config, indent=2).encode())


def save_compressed_tensors(model: Any, folder: str | os.PathLike[str]) -> None:
    """Writes `model.safetensors` and a `config.json` with a `quantization_config` of the project compressed-tensors.

    Args:
        model: a model of either front whose quantised linear layers all have one of the formats of this module.
        folder: made if it is not there; files of these names are replaced.

    Raises:
        ValueError: no quantised linear layers, another format, or several.
    """
    layers = _layers(model)
    kind, arrays = _one_kind(layers), _floats(model, layers)
    for name, layer in layers.items():
        codes, found = _codes(layer)
        arrays.update({_prefix(name) + key: array for key, array in _compressed(kind, codes, found).items()})
        amax = _input_amax(layer)
        if amax is not None:
            inverse = kind == "nvfp4"
            value = LARGEST / amax if inverse else amax / np.float32(448 if kind == "fp8" else 127)
            arrays[_prefix(name) + ("input_global_scale" if inverse else "input_scale")] = np.array([value], np.float32)
    _write(folder, arrays, CONFIG, {"quantization_config": _compressed_config(kind, model, layers)})


def _compressed(kind: str, codes: NDArray[Any], found: Quantization) -> Arrays:
    scale = found.step if found.scale_bits is None else found.scale
    if kind == "int8":
        return {"weight": codes, "weight_scale": scale.reshape(-1, 1) if scale.size > 1 else scale.reshape(1)}
    if kind == "fp8":
        return {"weight": codes.view(_float8()), "weight_scale": scale.reshape(-1, 1) if scale.size > 1
                else scale.reshape(1)}
    if kind == "nvfp4":
        return {"weight_packed": pack_codes(codes, 4), "weight_scale": scale_codes(scale, (4, 3)).view(_float8()),
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
    inputs = None
    static = [_input_amax(layer) is not None for layer in layers.values()]
    if all(static) and kind != "int4":
        inputs = {**weights, "strategy": "tensor_group" if kind == "nvfp4" else "tensor",
                  "dynamic": "local" if kind == "nvfp4" else False}
    ignored = [name for name, module in model.named_modules()
               if type(module).__name__ in ("Linear", "NonDynamicallyQuantizableLinear") and name not in layers]
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": inputs,
                          "output_activations": None}}
    return {"quant_method": "compressed-tensors", "format": FORMATS[kind], "quantization_status": "compressed",
            "config_groups": groups, "ignore": ignored, "kv_cache_scheme": None}


def save_modelopt(model: Any, folder: str | os.PathLike[str]) -> None:
    """Writes `model.safetensors` and `hf_quant_config.json`, as NVIDIA's Model Optimizer exports checkpoints.

    Args:
        model: as of `save_compressed_tensors`, of 8-bit integers, E4M3 with one scale, or NVFP4.
        folder: made if it is not there; files of these names are replaced.

    Raises:
        ValueError: no quantised linear layers, another format, or several.
    """
    layers = _layers(model)
    kind, arrays = _one_kind(layers), _floats(model, layers)
    if kind not in ALGORITHMS:
        raise ValueError("Expected int8, E4M3 or NVFP4 weights, got 4-bit integers: take save_compressed_tensors")
    for name, layer in layers.items():
        codes, found = _codes(layer)
        arrays.update({_prefix(name) + key: array for key, array in _modelopt(name, kind, codes, found).items()})
        amax = _input_amax(layer)
        if amax is not None:
            bound = {"int8": np.float32(127), "fp8": np.float32(448), "nvfp4": LARGEST}[kind]
            arrays[_prefix(name) + "input_scale"] = np.array(amax / bound, np.float32)
    excluded = [name for name, module in model.named_modules()
                if type(module).__name__ in ("Linear", "NonDynamicallyQuantizableLinear") and name not in layers]
    quantization = {"quant_algo": ALGORITHMS[kind], "kv_cache_quant_algo": None, "exclude_modules": excluded,
                    **({"group_size": NVFP4_BLOCK} if kind == "nvfp4" else {})}
    _write(folder, arrays, HF_CONFIG, {"producer": {"name": "pytorch_quantization_c"}, "quantization": quantization})


def _modelopt(name: str, kind: str, codes: NDArray[Any], found: Quantization) -> Arrays:
    if kind == "nvfp4":
        return {"weight": pack_codes(codes, 4), "weight_scale": scale_codes(found.scale, (4, 3)).view(_float8()),
                "weight_scale_2": np.array(found.global_scale, np.float32)}
    if kind == "int8":
        return {"weight": codes, "weight_scale": np.broadcast_to(found.step, codes.shape[:1]).copy()}
    if found.scale.size != 1:
        raise ValueError(f"Expected one scale for the E4M3 weight of {name or 'the model'}, got {found.scale.size}")
    return {"weight": codes.view(_float8()), "weight_scale": found.step.reshape(())}


def load_checkpoint(folder: str | os.PathLike[str], model: Any = None) -> Arrays:
    """Reads what `save_compressed_tensors` and `save_modelopt` write, or those projects in these formats.

    Args:
        folder: with `model.safetensors`, and `config.json` or `hf_quant_config.json`.
        model: None, or a model of either front with parameters of these names: it takes the values.

    Returns:
        The parameters by their names: of quantised layers the float32 values that the codes stand for.

    Raises:
        FileNotFoundError: no such files.
        ValueError: another format, damaged files, or a model that lacks a parameter or has one of another shape; the
            model is then unchanged.
    """
    kind = _kind_in(os.fspath(folder))
    arrays, _ = load_file(os.path.join(folder, WEIGHTS))
    try:
        found = _values(kind, arrays)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"Expected a checkpoint of {kind} weights, but it cannot be read: {problem}") from problem
    if model is not None:
        _give(model, found)
    return found


def _kind_in(folder: str) -> str:
    name = HF_CONFIG if os.path.exists(os.path.join(folder, HF_CONFIG)) else CONFIG
    try:
        config = json.loads(read_file(os.path.join(folder, name), MAX_JSON))
        if name == HF_CONFIG:
            said = config["quantization"]["quant_algo"]
            known = {algorithm: kind for kind, algorithm in ALGORITHMS.items()}
        else:
            said = config["quantization_config"]["format"]
            known = {format: kind for kind, format in FORMATS.items()}
        kind = known.get(said)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"Expected {name} to describe a quantised checkpoint: {problem!r}") from None
    if kind is None:
        raise ValueError(f"Expected a checkpoint in one of {', '.join(known)}, got {shown(said)}")
    return kind


def _values(kind: str, arrays: Arrays) -> Arrays:
    suffixes = ("weight_scale", "weight_scale_2", "weight_global_scale", "weight_shape", "input_scale",
                "input_global_scale", "weight_packed")
    heads = [name.removesuffix("weight_scale") for name in arrays if name.endswith("weight_scale")]
    inner = {head + suffix for head in heads for suffix in (*suffixes, "weight")}
    found = {name: array for name, array in arrays.items() if name not in inner}
    for head in heads:
        of_layer = {suffix: arrays[head + suffix] for suffix in (*suffixes, "weight") if head + suffix in arrays}
        found[head + "weight"] = _weight(kind, of_layer)
    return found


def _weight(kind: str, parts: Arrays) -> NDArray[np.float32]:
    scale = parts["weight_scale"].astype(np.float32)
    if kind == "nvfp4":
        packed = parts["weight_packed"] if "weight_packed" in parts else parts["weight"]
        whole = parts["weight_scale_2"] if "weight_scale_2" in parts else 1 / parts["weight_global_scale"]
        codes = unpack_codes(packed, 4, 2 * packed.shape[-1])
        found = Quantization(E2M1, -1, NVFP4_BLOCK, scale, None, (4, 3), np.float32(np.asarray(whole).item()))
        return found.dequantize(codes)
    if kind == "int4":
        outputs, inputs = (int(size) for size in parts["weight_shape"])
        packed = np.ascontiguousarray(parts["weight_packed"]).view(np.uint8)
        codes = unpack_codes(packed, 4, 2 * packed.shape[-1])[:, :inputs].astype(np.float32) - np.float32(8)
        size = -(-inputs // scale.shape[-1])
        return np.asarray(codes * np.repeat(scale, size, -1)[:, :inputs], np.float32).reshape(outputs, inputs)
    weight = parts["weight"].astype(np.float32)
    return np.asarray(weight * (scale.reshape(-1, 1) if scale.size > 1 else scale.reshape(())), np.float32)


def _give(model: Any, found: Arrays) -> None:
    quantizer = next(iter(quantizers_of(model).values()))
    parameters = {name: value for name, value in model.named_parameters() if "_quantizer" not in name}
    for name, parameter in parameters.items():
        if name not in found or tuple(parameter.shape) != found[name].shape:
            raise ValueError(f"Expected the checkpoint to have {name} of shape {tuple(parameter.shape)}, got "
                             f"{found[name].shape if name in found else 'none'}")
    for name, parameter in parameters.items():
        quantizer._fill(parameter, quantizer._new_buffer(found[name]))

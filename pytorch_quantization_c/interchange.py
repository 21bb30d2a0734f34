"""Quantised linear layers in files that inference servers read: compressed-tensors, and ModelOpt's checkpoints.

A folder gets `model.safetensors` with codes and scales of every quantised linear layer, all other parameters and the
persistent buffers (embeddings and convolutions as floats), and a JSON file that says what they are: `config.json` with
a `quantization_config`, or `hf_quant_config.json`. The weight's quantiser decides: 8-bit integers with a scale for each
row or one, 4-bit integers in groups, E4M3 with a scale for each row or one, or NVFP4. Scales count what a code stands
for, rounded to float32; codes are those of the quantiser.
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
from ._core.layer_rules import QuantWeightRules
from ._core.models import require_module
from ._core.quantization import Quantization
from ._core.safetensors import load_file, save_file
from .formats import quantize
from .model.quantizers import named_quantizers, quantizers_of
from .tensor_quant import QuantDescriptor

__all__ = ["load_checkpoint", "save_compressed_tensors", "save_modelopt"]

WEIGHTS, CONFIG, HF_CONFIG = "model.safetensors", "config.json", "hf_quant_config.json"
FORMATS = {"int8": "int-quantized", "int4": "pack-quantized", "fp8": "float-quantized", "nvfp4": "nvfp4-pack-quantized"}
ALGORITHMS = {"int8": "W8A8_SQ_PER_CHANNEL", "fp8": "FP8", "nvfp4": "NVFP4"}
SCHEMES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "int8": (8, "int", ("tensor", "channel")), "int4": (4, "int", ("group", "channel")),
    "fp8": (8, "float", ("tensor", "channel")), "nvfp4": (4, "float", ("tensor_group",))}
ORDERS = (None, False, "weight", "static")  # orders of columns that leave them where they are
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
    quantised = {name: module for name, module in model.named_modules()
                 if getattr(module, "weight_quantizer", None) is not None and hasattr(module, "weight")}
    for name, module in quantised.items():
        if module.weight is None:
            raise ValueError(f"Expected layers with float weights, got {name or 'the model'}, which is frozen without: "
                             "save the model before freeze(model, keep_float=False)")
    found = {name: module for name, module in quantised.items() if len(module.weight.shape) == 2
             and not module.weight_quantizer._disabled and not isinstance(module, QuantWeightRules)}
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
    factor = np.float32(1 if quantizer._scale_amax is None else quantizer._scale_amax)
    return np.float32(amax.item()) * factor if amax.size == 1 else None


def _check_scales(model: Any, written: dict[str, Any]) -> None:
    """ValueError, by the layer's name, for a `pre_quant_scale` but those of the inputs of the layers `written`."""
    known = {id(layer._modules.get("_input_quantizer")) for layer in written.values()}
    for name, quantizer in named_quantizers(model):
        if quantizer.pre_quant_scale is not None and id(quantizer) not in known:
            raise ValueError(f"Expected no pre_quant_scale, which this format has no key for, got one in {name}")


def _pre_quant_scale(layer: Any) -> Arrays:
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer.pre_quant_scale is None:
        return {}
    scale = np.asarray(quantizer._numbers(quantizer.pre_quant_scale), np.float32)
    return {"pre_quant_scale": np.broadcast_to(scale, tuple(layer.weight.shape)[1:]).copy()}


def _one_kind(layers: dict[str, Any]) -> str:
    kinds = {_kind_of(name, layer.weight_quantizer) for name, layer in layers.items()}
    if len(kinds) != 1:
        raise ValueError(f"Expected all weights in one format, got {', '.join(sorted(kinds))}")
    kind = kinds.pop()
    sizes = {layer.weight_quantizer.blocks.size for layer in layers.values() if kind == "int4"}
    if len(sizes) > 1:
        raise ValueError(f"Expected all weights in groups of one size, got {sorted(sizes)}")
    for name, layer in layers.items():
        if kind == "nvfp4" and layer.weight.shape[1] % 2:
            raise ValueError(f"Expected an even number of inputs of NVFP4 layers, whose codes lie two in a byte, got "
                             f"{layer.weight.shape[1]} of {name or 'the model'}")
    return kind


def _state(model: Any) -> dict[str, Any]:
    """Parameters and persistent buffers, those of quantisers apart, as they are in the model."""
    kept = set(model.state_dict())
    named = (*model.named_parameters(), *(pair for pair in model.named_buffers() if pair[0] in kept))
    return {name: value for name, value in named if "_quantizer" not in name}


def _floats(model: Any, layers: dict[str, Any]) -> Arrays:
    """The parameters and buffers that are not quantised."""
    quantizer = next(iter(layers.values())).weight_quantizer
    taken = {id(layer.weight) for layer in layers.values()}
    return {name: np.array(quantizer._numbers(value)) for name, value in _state(model).items()
            if id(value) not in taken}


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _write(folder: Any, arrays: Arrays, name: str, config: dict[str, Any]) -> None:
    os.makedirs(folder, exist_ok=True)
    _forget(os.fspath(folder), HF_CONFIG if name == CONFIG else CONFIG)
    save_file(arrays, os.path.join(folder, WEIGHTS), {"format": "pt"})
    write_file(os.path.join(folder, name), json.dumps(config, indent=2).encode())


def _forget(folder: str, name: str) -> None:
    """Takes what the other format says of the weights out of a folder; other words of a `config.json` stay."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return
    if name == CONFIG:
        try:
            config = json.loads(read_file(path, MAX_JSON))
        except (ValueError, RecursionError):
            return
        if not isinstance(config, dict) or config.pop("quantization_config", None) is None:
            return
        if config:
            write_file(path, json.dumps(config, indent=2).encode())
            return
    os.remove(path)


def save_compressed_tensors(model: Any, folder: str | os.PathLike[str]) -> None:
    """Writes `model.safetensors` and a `config.json` with a `quantization_config` of the project compressed-tensors.

    Args:
        model: a model of either front whose quantised linear layers all have one of the formats of this module.
        folder: made if it is not there; files of these names are replaced, and what the other format's JSON file says
            of quantisation is removed.

    Raises:
        ValueError: no quantised linear layers, another format, or several; a layer frozen without its float weight, an
            odd number of inputs in NVFP4, or a `pre_quant_scale`.
    """
    layers = _layers(model)
    kind, arrays = _one_kind(layers), _floats(model, layers)
    _check_scales(model, {})
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
        folder: made if it is not there; files of these names are replaced, and what the other format's JSON file says
            of quantisation is removed.

    Raises:
        ValueError: no quantised linear layers, another format, or several; a layer frozen without its float weight, an
            odd number of inputs in NVFP4, or a `pre_quant_scale` but of int8 layers.
    """
    layers = _layers(model)
    kind, arrays = _one_kind(layers), _floats(model, layers)
    if kind not in ALGORITHMS:
        raise ValueError("Expected int8, E4M3 or NVFP4 weights, got 4-bit integers: take save_compressed_tensors")
    _check_scales(model, layers if kind == "int8" else {})
    for name, layer in layers.items():
        codes, found = _codes(layer)
        arrays.update({_prefix(name) + key: array for key, array in _modelopt(name, kind, codes, found).items()})
        arrays.update({_prefix(name) + key: array for key, array in _pre_quant_scale(layer).items()})
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
        model: None, or a model of either front with parameters and buffers of these names: it takes the values, and its
            inputs' quantisers each `pre_quant_scale`.

    Returns:
        The parameters and buffers by their names: of quantised layers the float32 values that the codes stand for, and
        `pre_quant_scale`, (in,), where the inputs are multiplied by one first.

    Raises:
        FileNotFoundError: no such files.
        ValueError: another format, weights with zero points or in another order, damaged files, or a model that lacks a
            parameter or has one of another shape; the model is then unchanged.
    """
    kind, group = _kind_in(os.fspath(folder))
    arrays, _ = load_file(os.path.join(folder, WEIGHTS))
    try:
        found = _values(kind, group, arrays)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"Expected a checkpoint of {kind} weights, but it cannot be read: {problem}") from problem
    if model is not None:
        _give(model, found)
    return found


def _kind_in(folder: str) -> tuple[str, int | None]:
    """Which of the four the weights are, and the size of their groups; None: a row is one."""
    name = HF_CONFIG if os.path.exists(os.path.join(folder, HF_CONFIG)) else CONFIG
    try:
        config = json.loads(read_file(os.path.join(folder, name), MAX_JSON))
        if name == HF_CONFIG:
            config = config["quantization"]
            said, known = config["quant_algo"], {algorithm: kind for kind, algorithm in ALGORITHMS.items()}
        else:
            config = config["quantization_config"]
            said, known = config["format"], {format: kind for kind, format in FORMATS.items()}
        kind = known.get(said)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"Expected {name} to describe a quantised checkpoint: {problem!r}") from None
    if kind is None:
        raise ValueError(f"Expected a checkpoint in one of {', '.join(known)}, got {shown(said)}")
    if name == CONFIG:
        return kind, _group_size(kind, config)
    if kind == "nvfp4" and config.get("group_size", NVFP4_BLOCK) != NVFP4_BLOCK:
        raise ValueError(f"Expected group_size to be {NVFP4_BLOCK} for NVFP4, got {shown(config['group_size'])}")
    return kind, None


def _group_size(kind: str, config: dict[str, Any]) -> int | None:
    """The size that all `config_groups` share. ValueError for weights of a scheme that is not read."""
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise ValueError(f"Expected config_groups that describe the weights, got {shown(groups)}")
    sizes = {_checked_scheme(kind, name, group) for name, group in groups.items()}
    if len(sizes) != 1:
        raise ValueError(f"Expected one group_size in config_groups, got {', '.join(sorted(map(str, sizes)))}")
    return sizes.pop()


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


def _values(kind: str, group: int | None, arrays: Arrays) -> Arrays:
    suffixes = ("weight_scale", "weight_scale_2", "weight_global_scale", "weight_shape", "input_scale",
                "input_global_scale", "weight_packed", "weight_zero_point", "weight_g_idx", "input_zero_point")
    heads = [name.removesuffix("weight_scale") for name in arrays if name.endswith("weight_scale")]
    inner = {head + suffix for head in heads for suffix in (*suffixes, "weight")}
    found = {name: array for name, array in arrays.items() if name not in inner}
    for head in heads:
        of_layer = {suffix: arrays[head + suffix] for suffix in (*suffixes, "weight") if head + suffix in arrays}
        if "weight_g_idx" in of_layer:
            raise ValueError(f"{head}weight_g_idx is not supported: columns in another order")
        if "weight_zero_point" in of_layer and of_layer["weight_zero_point"].astype(np.float32).any():
            raise ValueError(f"{head}weight_zero_point is not supported, but for zeros")
        found[head + "weight"] = _weight(f"{head}weight_scale", kind, group, of_layer)
    return found


def _weight(name: str, kind: str, group: int | None, parts: Arrays) -> NDArray[np.float32]:
    scale = parts["weight_scale"].astype(np.float32)
    if kind == "nvfp4":
        packed = parts["weight_packed"] if "weight_packed" in parts else parts["weight"]
        whole = parts["weight_scale_2"] if "weight_scale_2" in parts else 1 / parts["weight_global_scale"]
        codes = unpack_codes(packed, 4, 2 * packed.shape[-1])
        _check_shape(name, scale, (*codes.shape[:-1], -(-codes.shape[-1] // NVFP4_BLOCK)))
        found = Quantization(E2M1, -1, NVFP4_BLOCK, scale, None, (4, 3), np.float32(np.asarray(whole).item()))
        return found.dequantize(codes)
    if kind == "int4":
        outputs, inputs = (int(size) for size in parts["weight_shape"])
        packed = np.ascontiguousarray(parts["weight_packed"]).view(np.uint8)
        codes = unpack_codes(packed, 4, 2 * packed.shape[-1])[:, :inputs].astype(np.float32) - np.float32(8)
        size = group or max(inputs, 1)
        _check_shape(name, scale, (outputs, -(-inputs // size)))
        each = scale[:, np.arange(inputs) // size]
        return np.asarray(codes * each, np.float32).reshape(outputs, inputs)
    weight = parts["weight"].astype(np.float32)
    _check_shape(name, scale, (), (1,), (1, 1), weight.shape[:1], (*weight.shape[:1], 1))
    return np.asarray(weight * (scale.reshape(-1, 1) if scale.size > 1 else scale.reshape(())), np.float32)


def _check_shape(name: str, scale: NDArray[np.float32], *shapes: tuple[int, ...]) -> None:
    if scale.shape not in shapes:
        raise ValueError(f"{name} is of shape {scale.shape}, expected {' or '.join(map(str, shapes))}")


def _give(model: Any, found: Arrays) -> None:
    quantizer = next(iter(quantizers_of(model).values()))
    targets = _state(model)
    for name, target in targets.items():
        if name not in found or tuple(target.shape) != found[name].shape:
            raise ValueError(f"Expected the checkpoint to have {name} of shape {tuple(target.shape)}, got "
                             f"{found[name].shape if name in found else 'none'}")
        if not quantizer._is_array(target) and found[name].dtype.kind not in "iub":
            raise ValueError(f"Expected the checkpoint to have integers as {name}, got {found[name].dtype}")
    scaled = _scaled_inputs(model, found)
    for name, target in targets.items():
        if quantizer._is_array(target):
            quantizer._fill(target, quantizer._new_buffer(found[name]))
        else:
            target[...] = target.new_tensor(found[name]) if hasattr(target, "new_tensor") else found[name]
    for each, scale in scaled:
        each.pre_quant_scale = scale


def _scaled_inputs(model: Any, found: Arrays) -> list[tuple[Any, NDArray[Any]]]:
    """The inputs' quantisers that take a `pre_quant_scale`. ValueError, by the layer's name, if one cannot be given."""
    modules, pairs = dict(model.named_modules()), []
    for key in (key for key in found if key.rpartition(".")[2] == "pre_quant_scale"):
        layer: Any = modules.get(key.rpartition(".")[0])
        quantizer = None if layer is None else layer._modules.get("_input_quantizer")
        if layer is None or quantizer is None:
            raise ValueError(f"Expected the model to have a layer with a quantised input for {key}, got none")
        old = quantizer.pre_quant_scale
        if found[key].shape != (tuple(layer.weight.shape)[1:] if old is None else tuple(old.shape)):
            raise ValueError(f"Expected {key} to have a number for each input, got shape {found[key].shape}")
        pairs.append((quantizer, found[key]))
    given = {id(quantizer) for quantizer, _ in pairs}
    for name, quantizer in named_quantizers(model):
        if quantizer.pre_quant_scale is not None and id(quantizer) not in given:
            raise ValueError(f"Expected the checkpoint to have the pre_quant_scale of {name}, got none")
    return pairs

"""Checkpoints of both kinds into arrays of float32, and into models."""
from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.element_codes import unpack_codes
from .._core.errors import shown
from .._core.files import read_file
from .._core.formats import E2M1
from .._core.quantization import Quantization
from .._core.safetensors import load_file
from ..model.quantizers import named_quantizers, quantizers_of
from .compressed_tensors import FORMATS, group_size, input_bound
from .folder import CONFIG, HF_CONFIG, MAX_JSON, WEIGHTS
from .layers import LARGEST, NVFP4_BLOCK, Arrays, state_of
from .modelopt import KINDS, rows_of_pairs


def load_checkpoint(folder: str | os.PathLike[str], model: Any = None) -> Arrays:
    """Reads what `save_compressed_tensors` and `save_modelopt` write, or those projects in these formats.

    Args:
        folder: with `model.safetensors`, and `config.json` or `hf_quant_config.json`.
        model: None, or a model of either front with parameters and buffers of these names: it takes the values, and its
            inputs' quantisers each `pre_quant_scale` and, those of one range, the fixed range if it is symmetric.

    Returns:
        The parameters and buffers by their names. Those of quantised layers are the float32 values that the codes stand
        for, and `pre_quant_scale`, (in,), where the inputs are multiplied by one first.

    Raises:
        FileNotFoundError: no such files.
        ValueError: another format, weights with zero points or in another order, damaged files, or a model that lacks a
            parameter or has one of another shape; the model is then unchanged.
    """
    kind, group, bound = _kind_in(os.fspath(folder))
    arrays, _ = load_file(os.path.join(folder, WEIGHTS))
    try:
        with np.errstate(all="ignore"):
            found, ranges = _values(kind, group, arrays), _input_ranges(bound, arrays)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as problem:
        raise ValueError(f"Expected a checkpoint of {kind} weights, but it cannot be read: {problem}") from problem
    if model is not None:
        _give(model, found, ranges)
    return found


def _kind_in(folder: str) -> tuple[str, int | None, np.float32 | None]:
    """Which of the four formats the weights have, the size of their groups (None: a row is one), and the range of an
    input divided by its step (None: not known)."""
    name = HF_CONFIG if os.path.exists(os.path.join(folder, HF_CONFIG)) else CONFIG
    try:
        config = json.loads(read_file(os.path.join(folder, name), MAX_JSON))
        if name == HF_CONFIG:
            config = config["quantization"]
            said, known = config["quant_algo"], KINDS
        else:
            config = config["quantization_config"]
            said, known = config["format"], {format: kind for kind, format in FORMATS.items()}
        kind = known.get(said)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"Expected {name} to describe a quantised checkpoint: {type(problem).__name__} "
                         f"{shown(str(problem))}") from None
    if kind is None:
        raise ValueError(f"Expected a checkpoint in one of {', '.join(known)}, got {shown(said)}")
    if name == CONFIG:
        return kind, group_size(kind, config), input_bound(kind, config)
    if kind == "nvfp4" and config.get("group_size", NVFP4_BLOCK) != NVFP4_BLOCK:
        raise ValueError(f"Expected group_size to be {NVFP4_BLOCK} for NVFP4, got {shown(config['group_size'])}")
    bound = {"int8": np.float32(127), "nvfp4": LARGEST}.get(kind, np.float32(448))
    if kind != "int4":
        return kind, None, bound
    size = config.get("group_size")
    if config.get("has_zero_point", False) is not False or isinstance(size, bool) or not isinstance(size, int) or \
            size < 1:
        raise ValueError(f"Expected {said} without zero points and with a group_size >= 1, got {shown(config)}")
    return kind, size, bound


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
        found[head + "weight"] = weight = _weight(f"{head}weight_scale", kind, group, of_layer)
        if not np.isfinite(weight).all():
            raise ValueError(f"{head}weight_scale makes NaN or infinity of the codes")
    return found


def _input_ranges(bound: np.float32 | None, arrays: Arrays) -> dict[str, np.float32]:
    """The amax of the input by the layer's name and a dot, where there is a symmetric one."""
    if bound is None:
        return {}
    ranges: dict[str, np.float32] = {}
    for name, array in arrays.items():
        head, _, key = name.rpartition("input_")
        point = arrays.get(f"{head}input_zero_point")
        if point is not None and point.astype(np.float32).any():
            continue
        if key in ("scale", "global_scale") and f"{head}weight_scale" in arrays and array.size == 1:
            scale = array.astype(np.float32).reshape(())
            ranges[head] = np.float32(LARGEST / scale if key == "global_scale" else scale * bound)
    return {head: amax for head, amax in ranges.items() if np.isfinite(amax) and amax > 0}


def _weight(name: str, kind: str, group: int | None, parts: Arrays) -> NDArray[np.float32]:
    scale = parts["weight_scale"].astype(np.float32)
    if kind == "nvfp4":
        packed = parts["weight_packed"] if "weight_packed" in parts else parts["weight"]
        whole = parts["weight_scale_2"] if "weight_scale_2" in parts else 1 / parts["weight_global_scale"]
        codes = unpack_codes(packed, 4, 2 * packed.shape[-1])
        _check_shape(name, scale, (*codes.shape[:-1], -(-codes.shape[-1] // NVFP4_BLOCK)))
        found = Quantization(E2M1, -1, NVFP4_BLOCK, scale, None, (4, 3), np.float32(np.asarray(whole).item()))
        return found.dequantize(codes)
    if kind == "int4" and "weight_packed" not in parts:
        rows, size = rows_of_pairs(parts["weight"]), group or 1
        _check_shape(name, scale, (rows.shape[0], -(-rows.shape[1] // size)))
        return np.asarray(rows * scale[:, np.arange(rows.shape[1]) // size], np.float32)
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


def _give(model: Any, found: Arrays, ranges: dict[str, np.float32]) -> None:
    quantizer = next(iter(quantizers_of(model).values()))
    targets = state_of(model)
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
    for each, amax in _ranged_inputs(model, ranges):
        each.amax = amax


def _ranged_inputs(model: Any, ranges: dict[str, np.float32]) -> list[tuple[Any, NDArray[np.float32]]]:
    """The inputs' quantisers of one range that takes that of the file, and the range in the shape of their own."""
    modules, pairs = dict(model.named_modules()), []
    for head, amax in ranges.items():
        layer: Any = modules.get(head.removesuffix("."))
        quantizer = None if layer is None else layer._modules.get("_input_quantizer")
        if quantizer is None or quantizer.axis is not None or quantizer.blocks is not None or quantizer.zero_point:
            continue
        factor = np.float32(1 if quantizer._scale_amax is None else quantizer._scale_amax)
        shape = () if quantizer.amax is None else tuple(quantizer.amax.shape)
        if math.prod(shape) == 1:
            pairs.append((quantizer, np.full(shape, amax / factor, np.float32)))
    return pairs


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

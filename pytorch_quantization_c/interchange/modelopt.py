"""Checkpoints as NVIDIA's Model Optimizer exports them: `hf_quant_config.json`."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.element_codes import pack_codes, scale_codes
from .._core.formats import E4M3
from .._core.quantization import Quantization
from .folder import HF_CONFIG, write
from .layers import (
    LARGEST,
    NVFP4_BLOCK,
    Arrays,
    check_scales,
    codes_of,
    float8,
    floats_of,
    input_amax,
    layers_of,
    one_kind,
    prefix,
    warn_of_inputs,
)

ALGORITHMS = {"int8": "W8A8_SQ_PER_CHANNEL", "fp8": "FP8", "nvfp4": "NVFP4", "int4": "W4A16_AWQ"}
KINDS = {**{algorithm: kind for kind, algorithm in ALGORITHMS.items()}, "W4A8_AWQ": "int4"}  # of weights, by algorithm


def save_modelopt(model: Any, folder: str | os.PathLike[str]) -> None:
    """Writes `model.safetensors` and `hf_quant_config.json`, as NVIDIA's Model Optimizer exports checkpoints.

    Args:
        model: as of `save_compressed_tensors`, of 8-bit integers, 4-bit integers in groups, E4M3 with one scale, or
            NVFP4. Weights in groups are W4A8_AWQ where all inputs are E4M3 with a fixed range, else W4A16_AWQ.
        folder: made if it is not there; files of these names are replaced, and what the other format's JSON file says
            of quantisation is removed.

    Raises:
        ValueError: no quantised linear layers, another format, or several; a layer frozen without its float weight, an
            odd number of inputs in NVFP4 or of outputs in groups, inputs that are no whole number of groups, or a
            `pre_quant_scale` but of layers of integers.
    """
    layers = layers_of(model)
    kind, arrays = one_kind(layers), floats_of(model, layers)
    warn_of_inputs(layers)
    check_scales(model, layers if kind in ("int8", "int4") else {})
    algorithm = ALGORITHMS[kind]
    if kind == "int4" and all(_has_e4m3_input(layer) for layer in layers.values()):
        algorithm = "W4A8_AWQ"
    for name, layer in layers.items():
        codes, found = codes_of(layer)
        arrays.update({prefix(name) + key: array for key, array in _modelopt(name, kind, codes, found).items()})
        arrays.update({prefix(name) + key: array for key, array in _pre_quant_scale(layer).items()})
        amax = input_amax(layer)
        if algorithm == "W4A8_AWQ":  # of the weight's second rounding, to E4M3
            weight = np.asarray(layer.weight_quantizer._numbers(layer.weight), np.float32)
            arrays[prefix(name) + "weight_scale_2"] = np.array(np.abs(weight).max() / np.float32(448), np.float32)
        if amax is not None and algorithm != "W4A16_AWQ":
            bound = {"int8": np.float32(127), "nvfp4": LARGEST}.get(kind, np.float32(448))
            arrays[prefix(name) + "input_scale"] = np.array(amax / bound, np.float32)
    excluded = [name for name, module in model.named_modules()
                if type(module).__name__ in ("Linear", "NonDynamicallyQuantizableLinear") and name not in layers]
    quantization = {"quant_algo": algorithm, "kv_cache_quant_algo": None, "exclude_modules": excluded,
                    **({"group_size": NVFP4_BLOCK} if kind == "nvfp4" else {})}
    if kind == "int4":
        quantization.update(group_size=next(iter(layers.values())).weight_quantizer.blocks.size, has_zero_point=False,
                            pre_quant_scale=any(key.endswith("pre_quant_scale") for key in arrays))
    write(folder, arrays, HF_CONFIG, {"producer": {"name": "pytorch_quantization_c"}, "quantization": quantization})


def _has_e4m3_input(layer: Any) -> bool:
    quantizer = layer._modules.get("_input_quantizer")
    return quantizer is not None and quantizer.format == E4M3 and input_amax(layer) is not None


def _modelopt(name: str, kind: str, codes: NDArray[Any], found: Quantization) -> Arrays:
    if kind == "int4":
        return {"weight": _rows_in_pairs(name, codes, found), "weight_scale": found.step}
    if kind == "nvfp4":
        return {"weight": pack_codes(codes, 4), "weight_scale": scale_codes(found.scale, (4, 3)).view(float8()),
                "weight_scale_2": np.array(found.global_scale, np.float32)}
    if kind == "int8":
        return {"weight": codes, "weight_scale": np.broadcast_to(found.step, codes.shape[:1]).copy()}
    if found.scale.size != 1:
        raise ValueError(f"Expected one scale for the E4M3 weight of {name or 'the model'}, got {found.scale.size}")
    return {"weight": codes.view(float8()), "weight_scale": found.step.reshape(())}


def _rows_in_pairs(name: str, codes: NDArray[Any], found: Quantization) -> NDArray[np.uint8]:
    """Two's complement of 4 bits, in the low half of a byte the code of an even output, in the high one of the next."""
    assert found.block is not None
    if len(codes) % 2 or codes.shape[1] % found.block:
        raise ValueError(f"Expected an even number of outputs and a multiple of {found.block} inputs of "
                         f"{name or 'the model'}, got {len(codes)} and {codes.shape[1]}")
    low, high = (codes[start::2].view(np.uint8) & np.uint8(15) for start in (0, 1))
    return np.ascontiguousarray(low | high << np.uint8(4))


def rows_of_pairs(packed: NDArray[Any]) -> NDArray[np.int8]:
    """The codes that lie in such bytes, (outputs, inputs)."""
    if packed.dtype != np.uint8 or packed.ndim != 2:
        raise ValueError(f"Expected weights of uint8 with 2 dimensions, got {packed.dtype} of shape {packed.shape}")
    both = np.stack([packed & np.uint8(15), packed >> np.uint8(4)], 1).reshape(2 * len(packed), -1)
    return (both ^ np.uint8(8)).view(np.int8) - np.int8(8)


def _pre_quant_scale(layer: Any) -> Arrays:
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer.pre_quant_scale is None:
        return {}
    scale = np.asarray(quantizer._numbers(quantizer.pre_quant_scale), np.float32)
    return {"pre_quant_scale": np.broadcast_to(scale, tuple(layer.weight.shape)[1:]).copy()}

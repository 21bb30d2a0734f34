"""Checkpoints as NVIDIA's Model Optimizer exports them: `hf_quant_config.json`."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.element_codes import pack_codes, scale_codes
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
)

ALGORITHMS = {"int8": "W8A8_SQ_PER_CHANNEL", "fp8": "FP8", "nvfp4": "NVFP4"}


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
    layers = layers_of(model)
    kind, arrays = one_kind(layers), floats_of(model, layers)
    if kind not in ALGORITHMS:
        raise ValueError("Expected int8, E4M3 or NVFP4 weights, got 4-bit integers: take save_compressed_tensors")
    check_scales(model, layers if kind == "int8" else {})
    for name, layer in layers.items():
        codes, found = codes_of(layer)
        arrays.update({prefix(name) + key: array for key, array in _modelopt(name, kind, codes, found).items()})
        arrays.update({prefix(name) + key: array for key, array in _pre_quant_scale(layer).items()})
        amax = input_amax(layer)
        if amax is not None:
            bound = {"int8": np.float32(127), "fp8": np.float32(448), "nvfp4": LARGEST}[kind]
            arrays[prefix(name) + "input_scale"] = np.array(amax / bound, np.float32)
    excluded = [name for name, module in model.named_modules()
                if type(module).__name__ in ("Linear", "NonDynamicallyQuantizableLinear") and name not in layers]
    quantization = {"quant_algo": ALGORITHMS[kind], "kv_cache_quant_algo": None, "exclude_modules": excluded,
                    **({"group_size": NVFP4_BLOCK} if kind == "nvfp4" else {})}
    write(folder, arrays, HF_CONFIG, {"producer": {"name": "pytorch_quantization_c"}, "quantization": quantization})


def _modelopt(name: str, kind: str, codes: NDArray[Any], found: Quantization) -> Arrays:
    if kind == "nvfp4":
        return {"weight": pack_codes(codes, 4), "weight_scale": scale_codes(found.scale, (4, 3)).view(float8()),
                "weight_scale_2": np.array(found.global_scale, np.float32)}
    if kind == "int8":
        return {"weight": codes, "weight_scale": np.broadcast_to(found.step, codes.shape[:1]).copy()}
    if found.scale.size != 1:
        raise ValueError(f"Expected one scale for the E4M3 weight of {name or 'the model'}, got {found.scale.size}")
    return {"weight": codes.view(float8()), "weight_scale": found.step.reshape(())}


def _pre_quant_scale(layer: Any) -> Arrays:
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer.pre_quant_scale is None:
        return {}
    scale = np.asarray(quantizer._numbers(quantizer.pre_quant_scale), np.float32)
    return {"pre_quant_scale": np.broadcast_to(scale, tuple(layer.weight.shape)[1:]).copy()}

"""What is saved of a model: its quantised linear layers, their codes and scales, and everything that stays float."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.formats import E2M1, E4M3, Int
from .._core.layer_rules import QuantWeightRules
from .._core.models import require_module
from .._core.quantization import Quantization
from ..formats import quantize
from ..model.quantizers import named_quantizers, quantizers_of
from ..tensor_quant import QuantDescriptor

LARGEST = np.float32(6 * 448)
NVFP4_BLOCK = 16

Arrays = dict[str, NDArray[Any]]


def float8() -> Any:
    import ml_dtypes

    return ml_dtypes.float8_e4m3fn


def _kind_of(name: str, quantizer: Any) -> str:
    """Which of the four formats a weight's quantiser has. ValueError, with its name, for any other."""
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
    raise ValueError(f"Expected the weight quantiser of {name or 'the model'} to be int8, int4 in groups, E4M3 or "
                     f"NVFP4, got {quantizer.extra_repr()}")


def layers_of(model: Any) -> dict[str, Any]:
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


def codes_of(layer: Any) -> tuple[NDArray[Any], Quantization]:
    quantizer = layer.weight_quantizer
    amax = None if quantizer.amax is None else np.asarray(quantizer._numbers(quantizer.amax), np.float32)
    axis = None if quantizer.axis is None else 0
    descriptor = QuantDescriptor(quantizer.num_bits, axis=axis, scale_amax=quantizer._scale_amax,
                                 narrow_range=quantizer.narrow_range, block_sizes=quantizer.block_sizes)
    return quantize(np.asarray(quantizer._numbers(layer.weight), np.float32), descriptor, amax)


def input_amax(layer: Any) -> np.float32 | None:
    """The fixed range of a layer's input, one number; None if it is another, dynamic or off."""
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer._disabled or quantizer.amax is None or quantizer.zero_point:
        return None
    amax = quantizer._numbers(quantizer.amax)
    factor = np.float32(1 if quantizer._scale_amax is None else quantizer._scale_amax)
    return np.float32(amax.item()) * factor if amax.size == 1 else None


def has_row_ranges(layer: Any) -> bool:
    """Whether the input's quantiser finds a range for each row, all indices but the last."""
    quantizer = _dynamic(layer)
    axis = None if quantizer is None else quantizer.axis
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return axis is not None and list(axes) == list(range(len(axes)))


def has_own_range(layer: Any) -> bool:
    """Whether the input's quantiser finds one range in each input."""
    quantizer = _dynamic(layer)
    return quantizer is not None and quantizer.axis is None


def _dynamic(layer: Any) -> Any:
    """The input's quantiser if it finds symmetric ranges itself, else None."""
    quantizer = layer._modules.get("_input_quantizer")
    if quantizer is None or quantizer._disabled or quantizer.amax is not None or quantizer.blocks is not None:
        return None
    return None if quantizer.zero_point or quantizer._scale_amax is not None else quantizer


def warn_of_inputs(layers: dict[str, Any]) -> None:
    """Warns, by the layer's name, of quantised inputs that a checkpoint does not describe."""
    for name, layer in layers.items():
        quantizer = layer._modules.get("_input_quantizer")
        if quantizer is None or quantizer._disabled or input_amax(layer) is not None:
            continue
        if not (has_row_ranges(layer) or has_own_range(layer)):
            warnings.warn(f"The checkpoint does not say how the input of {name or 'the model'} is quantised: "
                          f"{quantizer.extra_repr()}", UserWarning, stacklevel=3)


def check_scales(model: Any, written: dict[str, Any]) -> None:
    """ValueError, by the layer's name, for a `pre_quant_scale` but those of the inputs of the layers `written`."""
    known = {id(layer._modules.get("_input_quantizer")) for layer in written.values()}
    for name, quantizer in named_quantizers(model):
        if quantizer.pre_quant_scale is not None and id(quantizer) not in known:
            raise ValueError(f"Expected no pre_quant_scale, which this format has no key for, got one in {name}")


def one_kind(layers: dict[str, Any]) -> str:
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


def state_of(model: Any) -> dict[str, Any]:
    """Parameters and persistent buffers, those of quantisers apart, as they are in the model."""
    kept = set(model.state_dict())
    named = (*model.named_parameters(), *(pair for pair in model.named_buffers() if pair[0] in kept))
    return {name: value for name, value in named if "_quantizer" not in name}


def floats_of(model: Any, layers: dict[str, Any]) -> Arrays:
    """The parameters and buffers that are not quantised."""
    quantizer = next(iter(layers.values())).weight_quantizer
    taken = {id(layer.weight) for layer in layers.values()}
    return {name: np.array(quantizer._numbers(value)) for name, value in state_of(model).items()
            if id(value) not in taken}


def prefix(name: str) -> str:
    return f"{name}." if name else ""

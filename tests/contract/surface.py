"""Every public callable that takes arrays, found by introspection, each with arguments that it accepts.

A new function is found by its annotations (`ArrayLike` or `NDArray` marks an array) and called with the example that
belongs to the name of each parameter; a new layer is built and fed in the same way. What cannot be called with these
examples fails `test_every_callable_is_covered`, which says what is missing here.
"""
from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import pytorch_quantization_c
from pytorch_quantization_c import float_nn
from pytorch_quantization_c.formats import Int, Quantization
from pytorch_quantization_c.tensor_quant import QuantDescriptor

PACKAGE = pytorch_quantization_c.__name__
NOT_ARRAYS = ("torch", "graph", "demo", "info", "data", "integer", "model")  # sub-packages with tests of their own
# Packages whose modules are not public, only what the package lists.
WHOLE = ("float_nn", "float_nn.functional", "interchange")


@dataclass(frozen=True)
class Case:
    """`call(**arrays, **others)`; `arrays` are float arrays that the call must leave alone."""

    name: str
    call: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    others: dict[str, Any] = field(default_factory=dict)

    def __call__(self, **replaced: Any) -> Any:
        return self.call(**{**self.arrays, **self.others, **replaced})


def floats(*shape: int, positive: bool = False) -> np.ndarray:
    values = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    return abs(values) + np.float32(0.5) if positive else values


def public_modules() -> Iterator[Any]:
    yield pytorch_quantization_c
    for found in pkgutil.walk_packages(pytorch_quantization_c.__path__, PACKAGE + "."):
        path = found.name.removeprefix(PACKAGE + ".")
        parts = path.split(".")
        inner = path not in WHOLE and path.startswith(tuple(whole + "." for whole in WHOLE))
        if not inner and not any(part.startswith("_") for part in parts) and parts[0] not in NOT_ARRAYS:
            yield importlib.import_module(found.name)


def public_names(modules: Iterable[Any]) -> dict[str, Any]:
    """Path without the package's name -> function or class, each object once, under its shortest path."""
    found: dict[int, tuple[str, Any]] = {}
    for module in modules:
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            thing = getattr(module, name)
            if not callable(thing) or not (getattr(thing, "__module__", None) or "").startswith(PACKAGE):
                continue
            path = f"{module.__name__}.{name}".removeprefix(PACKAGE + ".")
            if id(thing) not in found or len(path) < len(found[id(thing)][0]):
                found[id(thing)] = (path, thing)
    return dict(sorted(found.values()))


def is_array(parameter: inspect.Parameter) -> bool:
    return bool(re.search(r"ArrayLike|NDArray|\bArray\b", str(parameter.annotation)))


def takes_arrays(function: Callable[..., Any]) -> bool:
    return any(is_array(parameter) for parameter in inspect.signature(function).parameters.values())


# ------------------------------------------------------------------------------------------------------------ functions
ARRAYS = {
    "inputs": floats(4, 3, 6), "input": floats(4, 3, 6), "x": floats(4, 3, 6),
    "amax": floats(1, 3, 1, positive=True), "grad_outputs": floats(4, 3, 6),
    "min_range": np.array(-1.5, np.float32), "max_range": np.array(2.5, np.float32),
    "clip_value_min": np.array(-0.5, np.float32), "clip_value_max": np.array(0.75, np.float32),
}
SPATIAL = {"1d": (9,), "2d": (9, 8), "3d": (6, 5, 7)}


def examples(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and other arguments for a function of this name, beyond those that the parameters' names settle."""
    name = path.rsplit(".", 1)[-1]
    size = next((shape for suffix, shape in SPATIAL.items() if suffix in name), None)
    if size and name.startswith("conv"):
        kernel = (3,) * len(size)
        channels = (4, 6) if "transpose" in name else (6, 4)
        return {"input": floats(2, 4, *size), "weight": floats(*channels, *kernel), "bias": floats(6)}, {}
    if size and "adaptive" in name:
        return {"input": floats(2, 4, *size)}, {"output_size": 3}
    if size and "pool" in name:
        return {"input": floats(2, 4, *size)}, {"kernel_size": 2}
    if name == "fake_tensor_quant_with_axis":
        return {"amax": floats(3, positive=True)}, {"axis": 1}
    if path.startswith("cuda_ext."):
        return {"amax": np.array(1.25, np.float32)}, {}
    return FUNCTIONS.get(name, ({}, {}))


FUNCTIONS: dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]] = {
    "linear": ({"input": floats(4, 5), "weight": floats(3, 5), "bias": floats(3)}, {}),
    "gptq": ({"weight": floats(3, 8), "inputs": floats(9, 8)},
             {"amax": np.full(3, 2.0, np.float32), "float_inputs": None}),
    "adaround": ({"weight": floats(3, 8), "inputs": floats(9, 8)},
                 {"amax": np.full(3, 2.0, np.float32), "iterations": 5}),
    "awq": ({"weight": floats(3, 8), "inputs": floats(9, 8)}, {}),
    "equalize": ({"first": floats(3, 8), "second": floats(4, 3), "bias": floats(3)}, {}),
    "smoothquant": ({"weight": floats(3, 8), "inputs": floats(9, 8)}, {}),
    "weight_range": ({"weight": floats(3, 8), "inputs": floats(9, 8)}, {}),
    "corrected_bias": ({"bias": floats(3)}, {"error": np.full(3, 0.5)}),
    "interpolate": ({"input": floats(2, 4, 9, 8)}, {"scale_factor": 2}),
    "pad": ({}, {"pad": (1, 2)}),
    "group_norm": ({"input": floats(2, 4, 9), "weight": floats(4)}, {"num_groups": 2}),
    "cross_entropy": ({"input": floats(2, 3)}, {"target": np.array([2, 0])}),
    "CrossEntropyLoss": ({"input": floats(2, 3)}, {"target": np.array([2, 0])}),
    "nll_loss": ({"input": floats(2, 3)}, {"target": np.array([2, 0])}),
    "NLLLoss": ({"input": floats(2, 3)}, {"target": np.array([2, 0])}),
    "l1_loss": ({"input": floats(2, 3), "target": floats(2, 3, positive=True)}, {}),
    "L1Loss": ({"input": floats(2, 3), "target": floats(2, 3, positive=True)}, {}),
    "mse_loss": ({"input": floats(2, 3), "target": floats(2, 3, positive=True)}, {}),
    "MSELoss": ({"input": floats(2, 3), "target": floats(2, 3, positive=True)}, {}),
    "lstm_cell": (
        {"input": floats(2, 5), "w_ih": floats(12, 5), "w_hh": floats(12, 3), "b_ih": floats(12), "b_hh": floats(12)},
        {"hx": (floats(2, 3), floats(2, 3))},
    ),
    "gru_cell": (
        {"input": floats(2, 5), "hx": floats(2, 3), "w_ih": floats(9, 5), "w_hh": floats(9, 3), "b_ih": floats(9),
         "b_hh": floats(9)}, {},
    ),
    "absorb_bias": (
        {"bias": floats(4), "weight": floats(3, 4), "next_bias": floats(3), "mean": floats(4),
         "deviation": floats(4, positive=True)}, {},
    ),
    "embedding": ({"weight": floats(7, 5)}, {"input": np.array([[1, 6], [0, 3]])}),
    "layer_norm": ({}, {"normalized_shape": (6,)}),
    "batch_norm": ({"running_mean": floats(3), "running_var": floats(3, positive=True)}, {}),
    "softmax": ({}, {"dim": 1}),
    "log_softmax": ({}, {"dim": 1}),
    "dropout": ({}, {"training": False}),
    "dropout1d": ({}, {"training": False}), "dropout2d": ({}, {"training": False}),
    "dropout3d": ({"input": floats(2, 4, 5, 3, 2)}, {"training": False}),
    "flatten": ({}, {}),
    "scaled_float": ({}, {"E": 5, "M": 2}),
    "fake_range_quant": ({"amin": np.array(-1.25, np.float32), "amax": np.array(2.5, np.float32)}, {}),
    "fake_block_quant": ({"amax": np.array(2.5, np.float32)},
                         {"num_bits": (2, 1), "block_sizes": {-1: 4, "type": "dynamic", "scale_bits": (4, 3)}}),
    "quantize": ({"amax": np.array(2.5, np.float32)}, {"quant_desc": QuantDescriptor(8)}),
    "dequantize": ({}, {"codes": np.array([[1, -2]], np.int8),
                        "quantization": Quantization(Int(8), None, None, np.ones(1, np.float32))}),
    "pack_codes": ({}, {"codes": np.array([[1, -2, 3]], np.int8), "bits": 4}),
    "unpack_codes": ({}, {"packed": np.array([[18, 3]], np.uint8), "bits": 4, "length": 3}),
    "scale_codes": ({"scale": np.array([0.25, 4], np.float32)}, {"scale_bits": (8, 0)}),
    "matmul": ({"input": floats(3, 6), "other": floats(6, 4)}, {}),
    "add": ({"input": floats(3, 6), "other": floats(3, 6)}, {}),
    "to_ggml": ({"inputs": floats(3, 64)}, {"name": "q4_0"}),
    "from_ggml": ({}, {"name": "mxfp4", "blocks": np.full((2, 17), 120, np.uint8)}),
    "scale_values": ({}, {"codes": np.array([120, 127], np.uint8), "scale_bits": (8, 0)}),
}


def function_case(path: str, function: Callable[..., Any]) -> Case:
    special, others = examples(path)
    arrays = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if is_array(parameter) and name not in others:
            if name in special:
                arrays[name] = special[name]
            elif parameter.default is inspect.Parameter.empty or name == "amax":
                arrays[name] = ARRAYS[name]
    return Case(path, function, arrays, others)


# --------------------------------------------------------------------------------------------------------------- layers
CONSTRUCTOR = {
    "in_channels": 4, "out_channels": 6, "kernel_size": 3, "in_features": 8, "out_features": 3, "num_features": 4,
    "input_size": 8, "hidden_size": 3, "output_size": 3, "padding": 1, "normalized_shape": 8, "scale_factor": 2,
    "clip_value_min": -0.5, "clip_value_max": 0.75, "num_embeddings": 7, "embedding_dim": 5, "dim": 1,
    "unflattened_size": (2, 2), "value": 0.25, "num_groups": 2,
    "num_channels": 4, "embed_dim": 8, "num_heads": 2,
}


RECURRENT = ("LSTM", "QuantLSTM", "GRU", "QuantGRU")
LAYERS: dict[str, dict[str, Any]] = {  # constructor arguments that are not needed by their signature, but in fact
    "LSTM": {"input_size": 8, "hidden_size": 3}, "GRU": {"input_size": 8, "hidden_size": 3},
    "QuantGRU": {"input_size": 8, "hidden_size": 3},
    "Upsample": {"scale_factor": 2}, "UpsamplingNearest2d": {"scale_factor": 2},
    "UpsamplingBilinear2d": {"scale_factor": 2},
}


def layer_input(name: str) -> np.ndarray:
    size = next((shape for suffix, shape in SPATIAL.items() if suffix in name), None)
    if size:
        return floats(2, 4, *size)
    if name.rsplit(".", 1)[-1] in RECURRENT:
        return floats(5, 2, 8)
    return floats(2, 8) if "Cell" in name else floats(2, 4, 9, 8)


def layer_case(path: str, layer: type) -> Case:
    parameters = inspect.signature(layer).parameters.values()
    needed = {
        p.name: CONSTRUCTOR[p.name]
        for p in parameters
        if p.name == "dim" or (p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    }
    module = layer(**{**needed, **LAYERS.get(path.rsplit(".", 1)[-1], {})})
    module.eval()
    if path.endswith("MultiheadAttention"):
        given = {name: floats(5, 2, 8) for name in ("query", "key", "value")}
        return Case(path, lambda query, key, value: module(query, key, value), given)
    if path.endswith("Embedding"):
        return Case(path, lambda: module(np.array([[1, 6]])), {})
    if "target" in inspect.signature(layer.forward).parameters:
        special, others = examples(path)
        return Case(path, lambda input, target=None: module(input, target), special, others)
    return Case(path, lambda x: module(x), {"x": layer_input(path)})


CONTAINERS = ("Module", "Sequential", "ModuleList", "ModuleDict", "Parameter", "ParameterList")


def is_layer(path: str, thing: Any) -> bool:
    is_module = inspect.isclass(thing) and issubclass(thing, float_nn.Module)
    return is_module and path.rsplit(".", 1)[-1] not in CONTAINERS and not inspect.isabstract(thing)


# ---------------------------------------------------------------------------------------------------------------- cases
PASSED_ON = ("float_nn.Identity", "float_nn.Flatten", "float_nn.Unflatten")  # layers that return a view of any array


def build_cases() -> tuple[list[Case], dict[str, str]]:
    """(cases, what could not be built or called and why)."""
    cases, refused = [], {}
    for path, thing in public_names(public_modules()).items():
        try:
            if is_layer(path, thing):
                case = layer_case(path, thing)
            elif inspect.isfunction(thing) and takes_arrays(thing):
                case = function_case(path, thing)
            else:
                continue
            case()
        except Exception as error:  # whatever it is, the completeness test shows it
            refused[path] = f"{type(error).__name__}: {error}"
        else:
            cases.append(case)
    return cases, refused


CASES, REFUSED = build_cases()
FUNCTION_CASES = [case for case in CASES if inspect.isfunction(case.call) and case.call.__name__ != "<lambda>"]


def flat(result: Any) -> list[np.ndarray]:
    """The arrays of a result, however nested, in order."""
    if isinstance(result, tuple | list):
        return [array for part in result for array in flat(part)]
    if isinstance(result, Quantization):
        return flat((result.scale, result.zero))
    return [] if result is None else [np.asarray(result)]


def same(one: Any, other: Any) -> bool:
    """Equal dtypes, shapes and bits."""
    left = [(array.dtype, array.shape, array.tobytes()) for array in flat(one)]
    return left == [(array.dtype, array.shape, array.tobytes()) for array in flat(other)]

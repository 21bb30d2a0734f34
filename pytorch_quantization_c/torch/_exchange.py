"""Models from torch to the NumPy package and back: layers, weights, and everything about their quantisers."""
from __future__ import annotations

import copy
import inspect
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import float_nn
from .. import nn as array_nn
from .._core.descriptor import QuantDescriptor
from .._core.models import front_of, is_frozen, require_module
from .._core.quantizer import QuantizerRules
from .._core.quantizer_parts import SETTINGS, SWITCHES, method_of
from . import nn as tensor_nn
from ._convert import as_array, as_tensor

__all__ = ["from_numpy", "to_numpy"]

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")


class Side(NamedTuple):
    """One of the two packages: quantised layers, float layers, and how arrays come in."""

    quantized: Any
    floats: Any
    parameter: Any
    buffer: Any
    front: str

    @property
    def replace(self) -> str:
        """The function that quantises a model of the package."""
        return "pytorch_quantization_c.replace" if self.front == "numpy" else "pytorch_quantization_c.torch.replace"


def _array(value: Any) -> Any:
    return np.array(as_array(value) if isinstance(value, torch.Tensor) else value)


def _array_parameter(value: Any) -> Any:
    return float_nn.Parameter(_array(value), bool(value.requires_grad))


def _tensor(value: Any) -> torch.Tensor:
    return as_tensor(np.array(value))


def _tensor_parameter(value: Any) -> torch.nn.Parameter:
    return torch.nn.Parameter(_tensor(value), bool(value.requires_grad))


NUMPY = Side(array_nn, float_nn, _array_parameter, _array, "numpy")
TORCH = Side(tensor_nn, torch.nn, _tensor_parameter, _tensor, "torch")


def _class_on(side: Side, module: Any, name: str) -> Any:
    """The class of the same name in the other package."""
    cls = type(module)
    quantized = cls.__module__.startswith("pytorch_quantization_c.") and ".float_nn." not in cls.__module__
    if not quantized and not cls.__module__.startswith(("torch.nn.modules.", "pytorch_quantization_c.float_nn.")):
        raise TypeError(f"Expected {name or 'the model'} to be a layer of the library or a container of such, got "
                        f"{cls.__name__}: make a model of the other kind yourself and pass it as `into`")
    found = getattr(side.quantized if quantized else side.floats, cls.__name__, None)
    if found is None:
        raise TypeError(f"Expected {name or 'the model'} to be a layer that both packages have, got {cls.__name__}")
    return found


def _arguments(module: Any, cls: Any) -> dict[str, Any]:
    """The arguments of a layer's constructor, which it keeps under their names."""
    known: dict[str, Any] = {}
    for base in cls.__mro__:
        parameters = inspect.signature(base.__init__).parameters if "__init__" in vars(base) else {}
        for name in parameters:
            if name not in ("self", "args", "kwargs", "device", "dtype", "mode") and hasattr(module, name):
                value = getattr(module, name)
                known.setdefault(name, value if name != "bias" or isinstance(value, bool) else value is not None)
        if parameters and not any(each.kind is each.VAR_POSITIONAL for each in parameters.values()):
            break
    return known


def _quantizer(side: Side, module: Any) -> Any:
    """A quantiser of the other package with the same settings, switches and calibration data."""
    settings = {key: getattr(module, "_" + key) for key in SETTINGS}
    made = side.quantized.TensorQuantizer(
        QuantDescriptor(name=module.name, calib_method=method_of(module._calibrator), **settings))
    for key in SWITCHES:
        setattr(made, "_" + key, getattr(module, "_" + key))
    if module._scale is not None and not isinstance(module._scale, float):
        made._scale = side.buffer(module._scale)
    if module._calibrator is None:
        made._calibrator = None
    else:
        state = copy.deepcopy(vars(module._calibrator))
        state.pop("_device", None)
        vars(made._calibrator).update(state)
    return made


def _built(side: Side, module: Any, name: str) -> Any:
    children, is_quantizer = module._modules, isinstance(module, QuantizerRules)
    if is_quantizer:
        made = _quantizer(side, module)
    else:
        cls = _class_on(side, module, name)
        made = cls() if cls.__name__ in CONTAINERS else cls(**_arguments(module, cls))
    for child, each in children.items():
        if each is None or not is_quantizer:
            made._modules[child] = None if each is None else _built(side, each, f"{name}.{child}" if name else child)
    return made


def _carry(side: Side, module: Any, made: Any, seen: dict[int, Any], name: str) -> None:
    """Parameters and buffers, module by module; a parameter that two share stays shared."""
    for child, each in module._modules.items():
        full = f"{name}.{child}" if name else child
        if each is not None and isinstance(each, QuantizerRules) and not isinstance(made._modules.get(child),
                                                                                   QuantizerRules):
            raise ValueError(f"Expected `into` to have a quantiser {full!r}: quantise it as the model is, with "
                             f"{side.replace}(into)")
        if each is not None and made._modules.get(child) is None:
            raise ValueError(f"Expected `into` to have a module {full!r}")
        if each is not None:
            if isinstance(each, QuantizerRules):
                made._modules[child] = _quantizer(side, each)
            _carry(side, each, made._modules[child], seen, full)
    for which, make in (("_parameters", side.parameter), ("_buffers", side.buffer)):
        there, here = getattr(module, which), getattr(made, which)
        for key, value in there.items():
            present = here.get(key)
            if value is not None and present is not None and tuple(present.shape) != tuple(value.shape):
                raise ValueError(f"Expected `into` to have {name}.{key} of shape {tuple(value.shape)}, "
                                 f"got {tuple(present.shape)}")
            if value is not None:
                seen.setdefault(id(value), make(value))
            here[key] = None if value is None else seen[id(value)]
    if is_frozen(module):  # the integers are read-only: both may have them
        made._engine.take(made, module._engine.frozen.weight, keep_float=module._parameters["weight"] is not None)
    made.training = module.training


def _converted(side: Side, model: Any, into: Any) -> Any:
    require_module(model)
    if into is not None:
        require_module(into, "into")
    if front_of(model) == side.front:
        raise TypeError("Expected `model` of the other package, got "
                        f"{type(model).__name__}, a {side.front} model already")
    if front_of(into) not in (None, side.front):
        raise TypeError(f"Expected `into` to be a {side.front} model, got {type(into).__name__} of the other package")
    made = _built(side, model, "") if into is None else into
    _carry(side, model, made, {}, "")
    return made


def to_numpy(model: Any, into: Any = None) -> Any:
    """A model of the NumPy package with the layers, weights and quantisers of a torch model. Arrays are copies.

    Args:
        model: a layer that both packages have, or Sequential, ModuleList or ModuleDict of such.
        into: for any other model: one of the NumPy package's whose modules have the same names; it takes the weights
            and the quantisers, and is returned.

    Raises:
        TypeError: a layer that the other package lacks, or a class of your own without `into`; its name is given.
        ValueError: `into` lacks a module or a quantiser, or has an array of another shape.
    """
    return _converted(NUMPY, model, into)


def from_numpy(model: Any, into: Any = None) -> Any:
    """A torch model with the layers, weights and quantisers of a model of the NumPy package. Tensors are copies.

    Args:
        model: a layer that both packages have, or Sequential, ModuleList or ModuleDict of such.
        into: for any other model: a torch model whose modules have the same names; it takes the weights and the
            quantisers, and is returned.

    Raises:
        TypeError, ValueError: as `to_numpy`.
    """
    return _converted(TORCH, model, into)

"""Quantised layers instead of float ones, without changes to the code of a model.

`initialize()` replaces the classes in `float_nn`, so that models made from then on are quantised; `replace(model)`
changes an existing model and keeps its weights.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from . import float_nn
from . import nn as quant_nn
from ._core.replacement import Entry, ReplacementRules, onnx_export
from .model.freeze import freeze, load_frozen, save_frozen
from .model.replace import replace_layers
from .model.unquantized import UnquantizedLayer, unquantized

__all__ = ["deactivate", "enable_onnx_export", "freeze", "initialize", "load_frozen", "quantized", "replace",
           "save_frozen", "unquantized_layers"]

M = TypeVar("M", bound=float_nn.Module)

_NAMES = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear", "LSTM",
          "LSTMCell", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
          "AdaptiveAvgPool3d")
_quant_entry = Entry     # the original's name, for entries that are appended to the table
_DEFAULT_QUANT_MAP = [_quant_entry(float_nn, name, getattr(quant_nn, "Quant" + name)) for name in _NAMES]


class QuantModuleReplacementHelper(ReplacementRules):
    """The classes of `float_nn` that are currently replaced, and the originals."""

    def __init__(self) -> None:
        super().__init__(_DEFAULT_QUANT_MAP)


_quant_module_helper_object = QuantModuleReplacementHelper()


def initialize(float_module_list: Iterable[str] | None = None,
               custom_quant_modules: Iterable[Sequence[Any]] | None = None) -> None:
    """Replaces classes of `float_nn` by quantised ones until `deactivate()`.

    Args:
        float_module_list: names of classes to leave alone, as `["Linear"]`.
        custom_quant_modules: (module, name, class) triples of more to replace, as
            `[(float_nn, "MaxPool2d", nn.QuantMaxPool2d)]`; they take precedence over `float_module_list`.

    Calling it twice is the same as calling it once, with the second arguments.

    Raises:
        TypeError: `float_module_list` is not a list of names, or `custom_quant_modules` holds anything else.
    """
    _quant_module_helper_object.initialize(float_module_list, custom_quant_modules)


def deactivate() -> None:
    """Puts the float classes back. Without `initialize()` it does nothing."""
    _quant_module_helper_object.restore_float_modules()


def quantized(float_module_list: Iterable[str] | None = None,
              custom_quant_modules: Iterable[Sequence[Any]] | None = None) -> AbstractContextManager[None]:
    """`initialize()` for the duration of a `with` block. Afterwards, by exception too, the former state holds.

    Args:
        float_module_list: as for `initialize`.
        custom_quant_modules: as for `initialize`.

    Raises:
        TypeError: as `initialize`.
    """
    return _quant_module_helper_object.quantized(float_module_list, custom_quant_modules)


def enable_onnx_export() -> AbstractContextManager[None]:
    """For the duration of a `with` block, quantisers check that they are ready to be exported to ONNX."""
    return onnx_export(quant_nn.TensorQuantizer)


def replace(model: M, include: str | Iterable[str] = "*", exclude: str | Iterable[str] = (),
            custom_quant_modules: Iterable[Sequence[Any]] | None = None, **descriptors: Any) -> M:
    """Turns float layers of `model` into quantised ones, in place, with the same parameters (the arrays are shared).

    Args:
        model: any module; layers of exactly the classes that `initialize` replaces are converted, also those shared by
            several places.
        include: which layers, by their full names as `named_modules` gives them: a pattern or a list of patterns.
            "encoder.*" is a glob, "re:layer[0-3]" a regular expression that has to match from the start of the name.
            A glob that matches a container, as "encoder" does, means the layers inside.
        exclude: which of these to leave alone, as "*.classifier".
        custom_quant_modules: more classes, as for `initialize`; each needs a class method `from_float`, as those that
            inherit from the float class and from QuantMixin or QuantInputMixin have.
        **descriptors: `quant_desc_input`, `quant_desc_weight`; the defaults of the classes else.

    Returns:
        `model`, or its quantised form if it is itself such a layer.

    Layers that cannot be converted (see `unquantized_layers`) are named in one UserWarning; a call that converts none
    warns and says why.

    Raises:
        ValueError: a pattern of `include` that matches no layer that can be quantised, one of `exclude` that matches
            nothing, or a descriptor of real quantisation; the model is then unchanged.
        TypeError: an argument of another kind, or a model of the other package. Errors of a layer begin with its name.
    """
    table = _quant_module_helper_object.table(custom_quant_modules)
    replaced: M = replace_layers(model, table, "numpy", include, exclude, descriptors)
    return replaced


def unquantized_layers(model: M, custom_quant_modules: Iterable[Sequence[Any]] | None = None) -> list[UnquantizedLayer]:
    """The layers of `model` that compute with float weights, and why: those that `replace` cannot or did not convert.

    Listed are layers of a class that `initialize` replaces, that derive from one or that wrap one (attention, compiled
    layers, layers in plain lists), and others whose weight is a matrix but have no quantised form, as GRU.

    Args:
        model: any module.
        custom_quant_modules: more classes that `replace` is given, as there.

    Returns:
        A list of `name`, `kind` (the name of the class) and `reason`, in the order of the model.

    Raises:
        TypeError: `model` is not a module, or `custom_quant_modules` holds anything else.
    """
    return unquantized(model, _quant_module_helper_object.table(custom_quant_modules))

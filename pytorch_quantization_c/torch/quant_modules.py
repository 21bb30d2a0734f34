"""Quantised layers instead of float ones, without changes to the code of a model.

`initialize()` replaces the classes in `torch.nn`, so that models made from then on are quantised; `replace(model)`
changes an existing model and keeps its weights.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules import transformer

from .._core.replacement import Custom, Entry, ReplacementRules
from ..model.freeze import freeze, load_frozen, save_frozen
from ..model.replace import replace_layers
from ..model.unquantized import UnquantizedLayer, unquantized
from . import _onnx
from . import nn as quant_nn

__all__ = ["deactivate", "enable_onnx_export", "freeze", "initialize", "load_frozen", "quantized", "replace",
           "save_frozen", "unquantized_layers"]

M = TypeVar("M", bound=nn.Module)

_NAMES = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear", "LSTM",
          "LSTMCell", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
          "AdaptiveAvgPool3d")
_quant_entry = Entry     # the original's name, for entries that are appended to the table
_DEFAULT_QUANT_MAP = [_quant_entry(nn, name, getattr(quant_nn, "Quant" + name)) for name in _NAMES]


class QuantModuleReplacementHelper(ReplacementRules):
    """The classes of `torch.nn` that are currently replaced, and the originals."""

    def __init__(self) -> None:
        super().__init__(_DEFAULT_QUANT_MAP)

    def prepare_state(self, float_module_list: Iterable[str] | None = None, custom_map: Custom = None) -> None:
        """As the base; torch's own transformer layers, which take their Linear by another name, take the same class."""
        super().prepare_state(float_module_list, custom_map)
        self.quant_map += [Entry(transformer, name, cls) for module, name, cls in self.quant_map
                           if module is nn and hasattr(transformer, name)]


_quant_module_helper_object = QuantModuleReplacementHelper()


def initialize(float_module_list: Iterable[str] | None = None,
               custom_quant_modules: Iterable[Sequence[Any]] | None = None) -> None:
    """Replaces classes of `torch.nn` by quantised ones until `deactivate()`.

    Args:
        float_module_list: names of classes to leave alone, as `["Linear"]`.
        custom_quant_modules: (module, name, class) triples of more to replace, as
            `[(torch.nn, "MaxPool2d", quant_nn.QuantMaxPool2d)]`; they take precedence over `float_module_list`.

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


def enable_onnx_export(float8: str = "trt") -> AbstractContextManager[None]:
    """For the duration of a `with` block, quantisers can be exported to ONNX, and check that they are ready.

        with enable_onnx_export():
            torch.onnx.export(model, inputs, "model.onnx", dynamo=False)

    Integer quantisers become QuantizeLinear and DequantizeLinear with constant scales: 8 bits with either exporter, 4
    and 16 bits with `dynamo=True` and opset 21 or newer. In the block a quantiser without an amax is refused with
    RuntimeError, one with settings that ONNX does not have with ValueError; both say which one it is.

    Args:
        float8: what E4M3 quantisers become: "trt", TensorRT's nodes TRT_FP8QuantizeLinear and TRT_FP8DequantizeLinear,
            or "onnx", the standard's float8 (opset 19 or newer).
    """
    return _onnx.export(quant_nn.TensorQuantizer, float8)


def replace(model: M, include: str | Iterable[str] = "*", exclude: str | Iterable[str] = (),
            custom_quant_modules: Iterable[Sequence[Any]] | None = None, **descriptors: Any) -> M:
    """Turns float layers of `model` into quantised ones, in place, with the same parameters (the tensors are shared).

    Arguments, warnings and errors are those of `pytorch_quantization_c.replace`, of torch's modules.
    """
    table = _quant_module_helper_object.table(custom_quant_modules)
    replaced: M = replace_layers(model, table, "torch", include, exclude, descriptors)
    return replaced


def unquantized_layers(model: M, custom_quant_modules: Iterable[Sequence[Any]] | None = None) -> list[UnquantizedLayer]:
    """The layers of `model` that compute with float weights, and why: those that `replace` cannot or did not convert.

    As `pytorch_quantization_c.unquantized_layers`, of torch's modules.
    """
    return unquantized(model, _quant_module_helper_object.table(custom_quant_modules))

"""Quantisation of neural networks on ordinary CPUs: pytorch-quantization's API on NumPy arrays, C kernels underneath.

The submodules have the original's names and are imported on first use: `pytorch_quantization_c.nn.QuantLinear`
works after `import pytorch_quantization_c` alone.
"""
from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _environment
from .version import __version__

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from . import calib as calib
    from . import cuda_ext as cuda_ext
    from . import float_nn as float_nn
    from . import formats as formats
    from . import graph as graph
    from . import integer as integer
    from . import interchange as interchange
    from . import isa as isa
    from . import methods as methods
    from . import model as model
    from . import nn as nn
    from . import optim as optim
    from . import quant_modules as quant_modules
    from . import tensor_quant as tensor_quant
    from . import threads as threads
    from . import utils as utils
    from .graph.compiled_model import compile
    from .methods.automatic import accuracy_control, auto_quantize
    from .methods.improve import improve
    from .model.calibrating import calibrating
    from .model.fold_batch_norm import fold_batch_norm
    from .model.sensitivity import sensitivity
    from .model.state_file import load_quant_state, save_quant_state
    from .model.summary import quant_summary
    from .quant_modules import (
        deactivate,
        enable_onnx_export,
        freeze,
        initialize,
        load_frozen,
        quantized,
        replace,
        save_frozen,
        unquantized_layers,
    )

__all__ = ["__version__", "accuracy_control", "auto_quantize", "calibrating", "compile", "deactivate",
           "enable_onnx_export", "fold_batch_norm", "freeze", "improve", "initialize", "load_frozen",
           "load_quant_state", "quant_summary", "quantized", "replace", "save_frozen", "save_quant_state",
           "sensitivity", "unquantized_layers"]

_SUBMODULES = frozenset({"calib", "calibration", "cuda_ext", "float_nn", "formats", "graph", "integer",
                         "interchange", "isa",
                         "layer_sensitivity", "methods", "model", "nn", "optim", "quant_modules", "quant_state",
                         "summary", "tensor_quant", "threads", "utils"})
_HOMES = {
    "graph.compiled_model": ("compile",),
    "model.calibrating": ("calibrating",),
    "model.fold_batch_norm": ("fold_batch_norm",),
    "methods.automatic": ("accuracy_control", "auto_quantize"),
    "methods.improve": ("improve",),
    "quant_modules": ("deactivate", "enable_onnx_export", "freeze", "initialize", "load_frozen", "quantized", "replace",
                      "save_frozen", "unquantized_layers"),
    "model.state_file": ("load_quant_state", "save_quant_state"),
    "model.sensitivity": ("sensitivity",),
    "model.summary": ("quant_summary",),
}
_FUNCTIONS = {name: home for home, names in _HOMES.items() for name in names}

_environment.apply(os.environ)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__, *_SUBMODULES, "version"})

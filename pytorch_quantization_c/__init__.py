"""Quantisation of neural networks on ordinary CPUs: pytorch-quantization's API on NumPy arrays, C kernels underneath.

The submodules have the original's names and are imported on first use: `pytorch_quantization_c.nn.QuantLinear`
works after `import pytorch_quantization_c` alone.
"""
from __future__ import annotations

from importlib import import_module
from typing import Any

from .version import __version__

__all__ = ["__version__"]

_SUBMODULES = frozenset({"calib", "cuda_ext", "float_nn", "isa", "nn", "optim", "quant_modules", "tensor_quant",
                         "threads", "utils"})


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})

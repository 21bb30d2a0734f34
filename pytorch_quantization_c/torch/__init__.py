"""The original's package on torch tensors: the same names, `torch.nn.Module`s and `torch.autograd.Function`s.

    import pytorch_quantization_c.torch as pytorch_quantization

or, for code that is not to be changed, `pytorch_quantization_c.torch.install()` before it is imported. On the CPU the C
kernels of the NumPy package compute; tensors on other devices take plain torch operations.
"""
from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ImportError("Expected torch to be installed: pip install 'pytorch-quantization-c[torch]'", name="torch")

from ..methods.automatic import accuracy_control, auto_quantize
from ..methods.improve import improve
from ..model.calibrating import calibrating
from ..model.fold_batch_norm import fold_batch_norm
from ..model.sensitivity import sensitivity
from ..model.state_file import load_quant_state, save_quant_state
from ..model.summary import quant_summary
from . import calib, cuda_ext, formats, nn, optim, quant_modules, tensor_quant, utils, version
from ._compile import compile
from ._exchange import from_numpy, to_numpy
from ._install import install
from ._logging import follow_absl
from .learned_steps import learn_steps
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
from .version import __version__

follow_absl()

__all__ = ["__version__", "accuracy_control", "auto_quantize", "calib", "calibrating", "compile", "cuda_ext",
           "deactivate", "enable_onnx_export", "fold_batch_norm", "formats", "freeze", "from_numpy", "improve",
           "initialize", "install", "learn_steps", "load_frozen", "load_quant_state", "nn", "optim", "quant_modules",
           "quant_summary", "quantized", "replace", "save_frozen", "save_quant_state", "sensitivity", "tensor_quant",
           "to_numpy", "unquantized_layers", "utils", "version"]

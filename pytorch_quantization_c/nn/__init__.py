"""Quantiser and quantised layers."""
from . import functional
from .modules.clip import Clip
from .modules.tensor_quantizer import TensorQuantizer

__all__ = ["Clip", "TensorQuantizer", "functional"]

"""ONNX nodes for the exporter that works with torch.export (`dynamo=True`).

The nodes go into the exported program as torch's own symbolic operators, which its exporter translates, so that nothing
has to be registered for a call of `torch.onnx.export`. Needed: torch 2.8, and what that exporter needs itself.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._core.formats import E4M3, Int
from .._core.onnx import FLOAT8E4M3FN, INT8, INTEGER_TYPES, MIN_SCALE, TINY, UINT8

try:
    from torch.onnx._internal.exporter import _flags
except ImportError:     # an older torch
    _flags = None  # type: ignore[assignment]

__all__ = ["e4m3_nodes", "exporting", "exporting_program", "integer_nodes", "onnx_exporting"]

# Other types have opset 21's `output_dtype`.
ZERO_POINTS = {INT8: torch.int8, UINT8: torch.uint8, FLOAT8E4M3FN: torch.float8_e4m3fn}


def exporting() -> bool:
    """Whether torch.export (or torch.compile) is looking at the program."""
    return torch.compiler.is_compiling()


def exporting_program() -> bool:
    """Whether torch.export, alone or under an exporter to ONNX, is looking at the program."""
    return torch.compiler.is_compiling() and bool(getattr(torch.compiler, "is_exporting", bool)())


def onnx_exporting() -> bool:
    """Whether one of the exporters to ONNX is at work; torch's own question is always answered no while it compiles."""
    return torch.onnx.is_in_onnx_export() or bool(getattr(_flags, "_is_onnx_exporting", False))


def _symbolic(name: str, inputs: list[Tensor], attributes: dict[str, Any], like: Tensor, dtype: Any,
              version: int | None) -> Tensor:
    operators = getattr(torch.onnx, "ops", None)
    if operators is None:
        raise RuntimeError(f"Expected torch 2.8 or newer for the dynamo exporter, got {torch.__version__}: "
                           "call torch.onnx.export with dynamo=False")
    made: Tensor = operators.symbolic(name, inputs, attributes, dtype=dtype, shape=like.shape, version=version)
    return made


def _pair(x: Tensor, scale: Tensor, amax: Tensor, kind: int) -> Tensor:
    """QuantizeLinear to the ONNX type `kind`, and DequantizeLinear. Scales are float32; x is cast if it is not."""
    scale = scale.clamp(min=MIN_SCALE)
    long = [axis for axis, size in enumerate(amax.shape) if size != 1]
    attributes = {"axis": long[0] - amax.dim() + x.dim()} if long else {}
    scale = scale.reshape(-1) if long else scale.reshape(())
    if kind in ZERO_POINTS:
        bounds, version, wanted = [scale, torch.zeros(scale.shape).to(ZERO_POINTS[kind])], 19, attributes
    else:
        bounds, version, wanted = [scale], 21, {**attributes, "output_dtype": kind}
    integers = _symbolic("QuantizeLinear", [x.float(), *bounds], wanted, x, kind, version)
    return _symbolic("DequantizeLinear", [integers, *bounds], attributes, x, torch.float32, version).to(x.dtype)


def integer_nodes(x: Tensor, amax: Tensor, num_bits: int, unsigned: bool) -> Tensor:
    """The nodes of a fake quantiser of 4, 8 or 16 bits; `_check_onnx_readiness` has refused all others."""
    bound = float(Int(num_bits, unsigned).bound)
    scale = torch.where(amax.float() <= TINY, torch.zeros_like(amax.float()), amax.float() / bound)
    return _pair(x, scale, amax, INTEGER_TYPES[num_bits, unsigned])


def e4m3_nodes(x: Tensor, amax: Tensor, standard: bool) -> Tensor:
    """The nodes of an E4M3 quantiser: standard float8, or TensorRT's own."""
    if standard:
        return _pair(x, amax.float() / E4M3.bound, amax, FLOAT8E4M3FN)
    scale = (1.0 / (E4M3.bound / amax.float().reshape(()))).clamp(min=MIN_SCALE)
    stored = _symbolic("trt::TRT_FP8QuantizeLinear", [x.float(), scale], {}, x, torch.uint8, None)
    return _symbolic("trt::TRT_FP8DequantizeLinear", [stored, scale], {}, x, torch.float32, None).to(x.dtype)

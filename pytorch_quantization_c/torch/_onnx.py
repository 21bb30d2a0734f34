"""What the TorchScript exporter calls to write a quantiser as ONNX nodes."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._core import onnx as nodes
from ._convert import as_array, as_tensor

__all__ = ["e4m3_symbolic", "integer_symbolic"]


def _constant(value: Any, name: str) -> NDArray[Any]:
    """The numbers of a bound that is constant in the graph. ValueError for one that is computed there."""
    if not isinstance(value, Tensor | int | float):
        from torch.onnx import symbolic_helper

        value = symbolic_helper._maybe_get_const(value, "t")
    if isinstance(value, Tensor):
        return as_array(value.float())
    if isinstance(value, int | float):
        return np.asarray(value, np.float32)
    raise ValueError(f"Expected `{name}` to be a constant for ONNX export, got one that is computed from the inputs")


def _tensor(array: NDArray[Any]) -> Tensor:
    return as_tensor(np.array(array))


def integer_symbolic(g: Any, inputs: Any, amax: Any, num_bits: int, unsigned: bool, narrow_range: bool) -> Any:
    """QuantizeLinear and DequantizeLinear; see `_core.onnx.int8_symbolic`."""
    return nodes.int8_symbolic(g, inputs, _constant(amax, "amax"), num_bits, unsigned, narrow_range, _tensor)


def _annotated(node: Any, inputs: Any, kind: str) -> Any:
    """`node` with its type; the exporter does not know TensorRT's nodes."""
    sizes = inputs.type().sizes()
    return node.setType(inputs.type().with_dtype(getattr(torch, kind)).with_sizes(sizes))


def e4m3_symbolic(g: Any, inputs: Any, amax: Any) -> Any:
    """TensorRT's FP8 nodes; see `_core.onnx.e4m3_symbolic`."""
    bound = None if amax is None else _constant(amax, "amax")
    return nodes.e4m3_symbolic(g, inputs, bound, _tensor, _annotated)

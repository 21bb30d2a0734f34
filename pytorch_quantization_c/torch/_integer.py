"""Quantised layers of the twin on the integer engine, where no gradient is wanted.

The conditions are those of the NumPy package's layers (`integer.conditions`); besides, gradients are off
(`torch.no_grad()`, `torch.inference_mode()`), tensors are float32 on the CPU, and nobody is watching: no tracer, no
autocast, no hook on a quantiser. The switch is `integer.float_only`.
"""
from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import _C
from ..integer import switch
from ..integer.conditions import (
    Kept,
    format_of,
    geometry_of,
    quantizer_refusal,
    range_refusal,
    rounded_weight,
)
from ..integer.packed import Geometry, PackedWeights
from ._convert import as_array, as_tensor
from ._kernels import in_c
from ._onnx_nodes import exporting_program

__all__ = ["IntegerExecution"]

LINEAR = Geometry()
OVERRIDABLE = ("_quant", "_float_forward", "_linear", "_conv_forward")
LIBRARIES = ("pytorch_quantization_c.", "torch.nn.")
_own_methods: dict[type, bool] = {}


def _is_library_class(cls: type) -> bool:
    """True unless a subclass has put a method of its own in the place of one that integers would pass over."""
    known = _own_methods.get(cls)
    if known is None:
        methods = [getattr(cls, name) for name in OVERRIDABLE if hasattr(cls, name)]
        known = _own_methods[cls] = all(method.__module__.startswith(LIBRARIES) for method in methods)
    return known


def _watched() -> str | None:
    """Why the steps of a layer must be torch's own."""
    if torch.is_grad_enabled():
        return "gradients are on"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    if torch._C._get_tracing_state() is not None or torch.compiler.is_compiling():
        return "the model is being traced"
    return None


def _refusal(quantizer: Any, whose: str) -> str | None:
    if type(quantizer).__module__ != "pytorch_quantization_c.torch.nn.modules.tensor_quantizer":
        return f"the {whose} quantizer is of a class of its own"
    if quantizer._forward_hooks or quantizer._forward_pre_hooks or "forward" in vars(quantizer):
        return f"the {whose} quantizer has hooks"
    return quantizer_refusal(quantizer, whose)


class IntegerExecution:
    """Mixin of the layers with an input and a weight quantiser; `execution` is "int8", or "float: " and why."""

    execution: str = "auto"

    @property
    def _transposed(self) -> bool:
        return bool(getattr(self, "transposed", False))

    @property
    def _spatial(self) -> int:
        layer: Any = self
        return len(layer.kernel_size)

    def _integer_forward(self, input: Any, output_size: Any = None) -> Any:
        """The result by integer arithmetic, or None if this layer, as it is set, cannot be computed so."""
        if exporting_program():
            return None
        answer = self._try_integers(input, output_size)
        vars(self)["execution"] = "float: " + answer if isinstance(answer, str) else "int8"
        return None if isinstance(answer, str) else answer

    def _try_integers(self, input: Any, output_size: Any) -> Tensor | str:
        layer: Any = self
        if not switch._allowed:
            return "integers are switched off"
        why = (_watched() or _refusal(layer._input_quantizer, "input") or range_refusal(layer._input_quantizer)
               or _refusal(layer._weight_quantizer, "weight"))
        if why is not None:
            return why
        if not _is_library_class(type(self)):
            return "a class of its own"
        tensors = [input, layer.weight] + ([] if layer.bias is None else [layer.bias])
        if not all(isinstance(each, Tensor) and each.dtype == torch.float32 for each in tensors) or not in_c(*tensors):
            return "input, weight and bias are not all float32 tensors on the CPU"
        kept = self._kept_weight()
        if isinstance(kept, str):
            return kept
        answer = self._run_integers(kept, input, output_size)
        return answer if isinstance(answer, str) else as_tensor(answer)

    def _kept_weight(self) -> Kept | str:
        """The integer weight: the one of the last call if it is proved unchanged, or a new one."""
        layer: Any = self
        quantizer, weight = layer._weight_quantizer, as_array(layer.weight)
        if weight.size == 0:
            return "the weight is empty"
        amax = quantizer.amax
        proof = (_C.fingerprint(weight), weight.shape, None if amax is None else as_array(amax).tobytes(),
                 None if amax is None else amax.shape, quantizer._axis, quantizer._scale_amax, format_of(quantizer))
        kept: Kept | None = vars(self).get("_kept")
        if kept is None or kept.proof != proof:
            found = rounded_weight(weight, as_array(quantizer._get_amax(layer.weight)), format_of(quantizer),
                                   self._transposed)
            if isinstance(found, str):
                return found
            kept = vars(self)["_kept"] = Kept(proof, found)
        return kept

    def _run_integers(self, kept: Kept, input: Tensor, output_size: Any) -> NDArray[Any] | str:
        layer: Any = self
        quantizer = layer._input_quantizer
        packing: Any = format_of(quantizer)
        extra = None
        if hasattr(layer, "stride"):
            extra = layer.output_padding if output_size is None else layer._output_padding(
                input, output_size, layer.stride, layer.padding, layer.kernel_size, self._spatial, layer.dilation)
            packing = (packing, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode,
                       tuple(extra))
            if layer.padding_mode != "zeros":
                input = F.pad(input, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
        made_for, packed = kept.packed
        if made_for != packing:
            geometry = LINEAR if extra is None else geometry_of(layer, kept.weight.values.shape, tuple(extra))
            packed = PackedWeights(kept.weight.values, kept.weight.scale, geometry, format_of(quantizer))
            kept.packed = packing, packed
        amax = None
        if quantizer.amax is not None or quantizer._scale_amax is not None:
            amax = as_array(quantizer._get_amax(input)) if input.numel() or quantizer.amax is not None else None
        bias = None if layer.bias is None else as_array(layer.bias)
        answer: NDArray[Any] | str = packed.product(as_array(input), amax, bias)
        return answer

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_kept"}

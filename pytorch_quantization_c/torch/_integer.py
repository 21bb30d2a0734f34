"""The integer engine of layers on tensors, which computes where no gradient is wanted.

The conditions are those of the NumPy package's layers (`integer.eligibility`); besides, gradients are off
(`torch.no_grad()`, `torch.inference_mode()`), tensors are float32 on the CPU, and nobody is watching: no tracer, no
autocast, no hook on a quantiser.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from .._core.formats import Int
from .._core.integer_engine import IntegerEngine
from ..integer.eligibility import format_or_refusal
from ..integer.weights import CachedWeight, Packed, weight_key
from ._convert import as_array, as_tensor, untraced
from ._kernels import in_c

__all__ = ["TensorEngine"]


def _watched() -> str | None:
    """Why the steps of a layer must be torch's own."""
    if torch.is_grad_enabled():
        return "gradients are on"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    return "the model is being traced" if torch._C._get_tracing_state() is not None else None


def _constant(parameter: Tensor) -> Parameter:
    """A copy that takes no gradients."""
    return Parameter(parameter.detach().clone(), requires_grad=False)


def _proof(weight: Tensor) -> tuple[Any, ...]:
    """What changes if a frozen float weight is changed in place."""
    return weight_key(as_array(weight), None, ())


class TensorEngine(IntegerEngine[Tensor]):
    """See `IntegerEngine`. Tensors have no read-only form: a frozen float weight is proved unchanged at each call."""

    library = ("pytorch_quantization_c.", "torch.nn.")
    quantizers = "pytorch_quantization_c.torch.nn.modules.tensor_quantizer"

    def run(self, layer: Any, input: Any, output_size: Any = None) -> Any:
        """The result by integer arithmetic, or None."""
        if torch.compiler.is_compiling():  # the engine must not become part of the graph
            return None
        return super().run(layer, input, output_size)

    def _answer(self, layer: Any, input: Any, output_size: Any) -> Any:
        return _watched() or super()._answer(layer, input, output_size)

    @staticmethod
    def _format_or_refusal(quantizer: Any, whose: str) -> Any:
        if quantizer._forward_hooks or quantizer._forward_pre_hooks:
            return f"the {whose} quantiser has hooks"
        return format_or_refusal(quantizer, whose)

    def _parameter(self, layer: Any, name: str) -> Any:
        return getattr(layer, name, None)  # parametrized and pruned weights are no parameters

    def _called(self, layer: Any, cached: CachedWeight, packed: Packed, quantizer: Any, format: Int, bias: Any,
                settings: dict[str, Any], rows_of: int | None = None) -> None:
        """Nothing is prepared: torch's conditions are checked at every call."""

    def _refusal(self, layer: Any, input: Any) -> str | None:
        named = (input, layer.weight, layer.bias)
        tensors = [each for each in named if each is not None]
        if all(isinstance(each, Tensor) and each.dtype == torch.float32 for each in tensors) and in_c(*tensors):
            return None
        return "input, weight and bias are not all float32 tensors on the CPU"

    def _amax(self, quantizer: Any, amax: Any, input: Any) -> Any:
        return None if amax is None and not input.numel() else quantizer._get_amax(input)

    def as_numpy(self, value: Any) -> NDArray[Any]:
        return as_array(value) if isinstance(value, Tensor) else np.asarray(value)

    def from_numpy(self, array: NDArray[Any]) -> Tensor:
        return as_tensor(array if array.flags.writeable else array.copy())

    def _in_type_of(self, input: Any, weight: NDArray[np.float32]) -> Tensor:
        return untraced(as_tensor)(weight).to(input if input.is_floating_point() else torch.float32)

    def float_weight(self, layer: Any, input: Any) -> Any:
        """As the base's; what torch records (traces, compiles, exports) has the quantiser of a float weight in it.

        RuntimeError where ONNX nodes of the quantiser are wanted and there is no float weight.
        """
        recorded = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        if recorded and layer.weight is not None:
            return layer._weight_quantizer(layer.weight)
        if recorded and layer._weight_quantizer._exports_onnx():
            raise RuntimeError(f"Expected {type(layer).__name__} to have a float weight for ONNX export, got one "
                               "frozen with keep_float=False: export the model before that")
        return super().float_weight(layer, input)

    def _padded(self, layer: Any, input: Any, mode: str) -> Any:
        return F.pad(input, layer._reversed_padding_repeated_twice, mode=mode)

    # Frozen layers

    def _still_frozen(self, layer: Any, frozen: CachedWeight) -> bool:
        weight = self._parameter(layer, "weight")
        if weight is None or frozen.proof is None:
            return weight is frozen.proof
        return bool(_proof(weight) == frozen.proof)

    def _freeze_refusal(self, layer: Any) -> str | None:
        if "weight" not in layer._parameters:
            return ("the weight is computed, by pruning or a parametrization: make it a parameter first, with "
                    "prune.remove or parametrize.remove_parametrizations")
        weight = layer._parameters["weight"]
        return None if weight is None or in_c(weight) else "the weight is no dense tensor on the CPU"

    def _frozen_proof(self, layer: Any, keep_float: bool) -> Any:
        parameters = layer._parameters
        if parameters.get("bias") is not None:
            parameters["bias"] = _constant(parameters["bias"])
        weight = parameters["weight"] = _constant(parameters["weight"]) if keep_float else None
        return None if weight is None else _proof(weight)

    def lock(self, layer: Any) -> None:
        """Tensors cannot be made read-only."""

    def before_load(self, layer: Any, state_dict: dict[str, Any], prefix: str, assign: bool,
                    error_msgs: list[str]) -> None:
        """A frozen layer that is given another float weight follows it and is no longer frozen."""

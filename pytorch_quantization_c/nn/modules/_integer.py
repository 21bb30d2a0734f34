"""The integer engine of layers on NumPy arrays: frozen layers have read-only arrays, and a second call is one step."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from ..._C import int4_call, integer_call
from ..._core.formats import Int
from ..._core.integer_engine import IntegerEngine
from ..._core.integer_state import VALUES
from ...float_nn import functional as F
from ...float_nn.checks import batched
from ...float_nn.parameter import own_copy
from ...integer.guards import guarded_call
from ...integer.packed import NEGATIVE, NO_FLOATS
from ...integer.pointwise import PointwiseInt4
from ...integer.weights import CachedWeight, Packed

__all__ = ["ArrayEngine"]


class ArrayEngine(IntegerEngine[NDArray[Any]]):
    """See `IntegerEngine`. The proof of a frozen weight is the array itself, read-only, or None if it was dropped."""

    library = ("pytorch_quantization_c.",)
    quantizers = "pytorch_quantization_c.nn.modules.tensor_quantizer"

    def run(self, layer: Any, input: Any, output_size: Any = None) -> Any:
        """The result by integer arithmetic, or None; in one step, if nothing has changed since the last call."""
        cached = self.frozen or self.cached
        guarded = None if cached is None else cached.guarded
        if guarded is None or output_size is not None:
            return self._noted(self._answer(layer, input, output_size))
        answer = (integer_call if len(guarded) == 5 else int4_call)(guarded, layer, input)
        if type(answer) is ndarray:
            self.execution = "int8"  # inlined: calling `_noted` would cost a small layer a twentieth of its time
            return answer
        if answer is None or answer == NEGATIVE:  # which a range from 0 on clips
            answer = self._answer(layer, input, output_size)
            if type(answer) is str and answer != NO_FLOATS and cached is not None:
                cached.guarded = None  # it would keep dropped arrays alive
        return self._noted(answer)

    def _called(self, layer: Any, cached: CachedWeight, packed: Packed, quantizer: Any, format: Int, bias: Any,
                settings: dict[str, Any], rows_of: int | None = None) -> None:
        cached.guarded = (None if isinstance(packed, PointwiseInt4) else
                          guarded_call(layer, cached, packed, quantizer, format, bias, settings, rows_of))

    def _parameter(self, layer: Any, name: str) -> Any:
        return layer.__dict__["_parameters"].get(name)

    def _refusal(self, layer: Any, input: Any) -> str | None:
        bias = self._parameter(layer, "bias")
        if bias is not None and bias.dtype.char != "f":
            return f"the bias is {bias.dtype}"
        return None if isinstance(input, np.ndarray) and input.dtype.char == "f" else NO_FLOATS

    def as_numpy(self, value: Any) -> NDArray[Any]:
        array: NDArray[Any] = value if isinstance(value, np.ndarray) else np.asarray(value)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def from_numpy(self, array: NDArray[Any]) -> Any:
        return array

    def _in_type_of(self, input: Any, weight: NDArray[np.float32]) -> Any:
        dtype = getattr(input, "dtype", weight.dtype)
        return weight.astype(dtype, copy=False) if dtype.kind == "f" else weight

    def _padded(self, layer: Any, input: Any, mode: str) -> Any:
        x, single = batched(input, len(layer.kernel_size), type(layer).__name__)
        padded = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
        return padded[0] if single else padded

    # Frozen layers

    def _still_frozen(self, layer: Any, frozen: CachedWeight) -> bool:
        weight = self._parameter(layer, "weight")
        return weight is frozen.proof and (weight is None or not weight.flags.writeable)

    def _freeze_refusal(self, layer: Any) -> str | None:
        return None

    def _frozen_proof(self, layer: Any, keep_float: bool) -> Any:
        parameters = layer.__dict__["_parameters"]
        weight = parameters["weight"] = own_copy(parameters["weight"]) if keep_float else None
        bias = parameters.get("bias")
        if bias is not None:
            parameters["bias"] = own_copy(bias if bias.dtype.isnative else bias.astype(bias.dtype.type))
        return weight

    def thaw(self, layer: Any) -> None:
        """From now on the weight is checked again, and the bias is writable."""
        super().thaw(layer)
        bias = self._parameter(layer, "bias")
        if bias is not None and not bias.flags.writeable:
            layer.__dict__["_parameters"]["bias"] = own_copy(bias)

    def lock(self, layer: Any) -> None:
        """Makes the arrays of a frozen layer read-only."""
        frozen = self.frozen
        if frozen is not None and self._parameter(layer, "weight") is frozen.proof:
            for array in (frozen.proof, self._parameter(layer, "bias")):
                if array is not None:
                    array.setflags(write=False)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        frozen = state["frozen"]
        if frozen is not None and frozen.proof is not None and frozen.proof.flags.writeable:
            state["frozen"] = None  # the weight has been made writable: the copy must not trust it
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.frozen is not None and self.frozen.proof is not None:
            self.frozen.proof.setflags(write=False)  # a new array, which may be written to

    def before_load(self, layer: Any, state_dict: dict[str, Any], prefix: str, assign: bool,
                    error_msgs: list[str]) -> None:
        """A frozen layer accepts no float weight other than its own; a copy of its bias takes the values."""
        frozen, bias = self.frozen_weight(layer), self._parameter(layer, "bias")
        if frozen is None:
            return
        if not assign and self._refuses_weight(frozen, state_dict, prefix, error_msgs):
            state_dict.update({prefix + "bias": bias} if bias is not None else {})
        elif bias is not None:
            layer.__dict__["_parameters"]["bias"] = own_copy(bias)

    @staticmethod
    def _refuses_weight(frozen: CachedWeight, state_dict: dict[str, Any], prefix: str, error_msgs: list[str]) -> bool:
        key = prefix + "weight"
        if frozen.proof is None or key not in state_dict or any(prefix + name in state_dict for name in VALUES):
            return False
        given = np.asarray(state_dict[key])
        if given.shape != frozen.proof.shape:
            return False
        state_dict[key] = frozen.proof
        other = not np.array_equal(given, frozen.proof)
        if other:
            error_msgs.append(f'"{key}" is the read-only weight of a frozen layer: load before freeze(), or '
                              "with assign=True, which gives the layer another weight, and it is frozen no more")
        return other

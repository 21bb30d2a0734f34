"""The part of a quantised layer that computes on integers where that gives the same answer."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._C import integer_call
from .._core.formats import Int
from ..float_nn.parameter import own_copy
from . import switch
from .conditions import (
    IntegerWeight,
    Kept,
    format_of,
    geometry_of,
    integer_weight,
    quantizer_refusal,
    range_refusal,
    weight_key,
    weight_quantization,
)
from .packed import NO_FLOATS, Geometry, PackedWeights
from .ready import ABSENT, ready_call

__all__ = ["IntegerExecution"]

LINEAR = Geometry()
GEOMETRY = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
NO_GEOMETRY = {"stride": ABSENT}  # of a linear layer
STEPS = ("_try_integers", "_kept_weight", "_run_integers")
NO_STEPS = dict.fromkeys(STEPS, ABSENT)  # of the object's own
MOST_PHASES = 4096  # of a transposed convolution, which is one ordinary convolution for each of its strides
VALUES, SCALE = "_integer_weight", "_integer_scale"
OVERRIDABLE = ("_quant", "_float_forward", "_linear", "_conv_forward")
_own_methods: dict[type, bool] = {}


def _is_library_class(cls: type) -> bool:
    """True unless a subclass has put a method of its own in the place of one that integers would pass over."""
    known = _own_methods.get(cls)
    if known is None:
        methods = [getattr(cls, name) for name in OVERRIDABLE if hasattr(cls, name)]
        known = all(method.__module__.startswith("pytorch_quantization_c.") for method in methods)
        _own_methods[cls] = known
    return known


def _has_library_steps(layer: Any) -> bool:
    """False if the class has a method of its own in the place of a step that a call in one step passes over."""
    return all(getattr(type(layer), name) is getattr(IntegerExecution, name) for name in STEPS)


def _is_library_quantizer(cls: type) -> bool:
    return cls.__module__ == "pytorch_quantization_c.nn.modules.tensor_quantizer"


class IntegerExecution:
    """Mixin of the layers with an input and a weight quantiser.

    `execution` says how the last call was computed: "int8", or "float: " and why. On integers the sum of products is
    exact; it is rounded to float32, multiplied by the float32 nearest to 1 / (scale of input * scale of weight), and
    the bias is added with one more rounding: within 2 units in the last place of the layer's largest output of what the
    fake quantised layer is in float64.
    """

    execution: str = "auto"

    def _integer_forward(self, input: Any, output_size: Any = None) -> Any:
        """The result by integer arithmetic, or None if this layer, as it is set, cannot be computed so."""
        state, answer = self.__dict__, None
        frozen: Any = state.get("_frozen")
        ready = None if frozen is None else frozen.ready
        if ready is not None and output_size is None:
            answer = integer_call(ready, self, input)
        if answer is None:
            answer = self._try_integers(input, output_size)
            if ready is not None and type(answer) is str and answer != NO_FLOATS:
                frozen.ready = None  # it would keep alive what the layer has no longer
        if type(answer) is str:
            state["execution"] = "float: " + answer
            return None
        state["execution"] = "int8"
        return answer

    def _try_integers(self, input: Any, output_size: Any) -> Any:
        if not switch._allowed:
            return "integers are switched off"
        state = self.__dict__
        quantizer = state["_modules"].get("_input_quantizer")
        if quantizer is None or not _is_library_class(type(self)) or not _is_library_quantizer(type(quantizer)):
            return "a class of its own"
        why = quantizer_refusal(quantizer, "input") or range_refusal(quantizer)
        if why is not None:
            return why
        bias = state["_parameters"]["bias"]
        if bias is not None and bias.dtype.char != "f":
            return f"the bias is {bias.dtype}"
        if bias is not None and not bias.dtype.isnative:
            bias = np.asarray(bias, np.float32)
        if not isinstance(input, np.ndarray) or input.dtype.char != "f":
            return NO_FLOATS
        if not input.dtype.isnative:
            input = input.astype(np.float32)
        kept = self._kept_weight()
        if type(kept) is str:
            return kept
        return self._run_integers(kept, quantizer, input, bias, output_size)

    def _kept_weight(self) -> Any:
        """The integer weight: of a frozen layer, the one of the last call if it is proved unchanged, or a new one."""
        state = self.__dict__
        frozen = state.get("_frozen")
        if frozen is not None:
            if frozen.is_of(state["_parameters"]["weight"]):
                return frozen
            state.pop("_frozen", None)  # somebody has given the layer another weight: it follows
        quantizer, weight = state["_modules"].get("_weight_quantizer"), state["_parameters"]["weight"]
        if quantizer is None or not _is_library_quantizer(type(quantizer)):
            return "a class of its own"
        why = quantizer_refusal(quantizer, "weight")
        if why is not None:
            return why
        if weight is None:
            return "there is no weight"
        proof = weight_key(quantizer, weight)
        kept = state.get("_kept")
        if kept is None or kept.proof != proof:
            found = integer_weight(quantizer, weight, getattr(self, "_transposed", False))
            if isinstance(found, str):
                return found
            kept = state["_kept"] = Kept(proof, found)
        return kept

    def _run_integers(self, kept: Kept, quantizer: Any, input: NDArray[np.float32], bias: Any, output_size: Any) -> Any:
        amax = quantizer.amax
        if quantizer._scale_amax is not None:
            amax = quantizer._get_amax(input) if input.size else None
        state, format = self.__dict__, format_of(quantizer)
        shape: dict[str, Any] = NO_GEOMETRY
        extra: Any = None
        packing: Any = (format,)
        if "stride" in state:
            shape = {name: state[name] for name in GEOMETRY}
            extra = shape["output_padding"] if output_size is None else self._extra(input, output_size)
            if getattr(self, "_transposed", False) and math.prod(shape["stride"]) > MOST_PHASES:
                return "the strides are too large"
            if shape["padding_mode"] != "zeros":
                input = self._padded(input)
            packing = (format, *(tuple(v) if type(v) is list else v for v in shape.values()), extra)
        made_for, packed = kept.packed
        if made_for != packing:
            geometry = LINEAR if extra is None else geometry_of(self, kept.weight.values.shape, extra)
            packed = PackedWeights(kept.weight.values, kept.weight.scale, geometry, format)
            kept.packed = packing, packed
        if state.get("_frozen") is kept and output_size is None and _has_library_steps(self):
            kept.ready = ready_call(self, kept, quantizer, format, bias, shape | NO_STEPS, packed)
        return packed.product(input, amax, bias)

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        state: Any = self
        extra: tuple[int, ...] = state._output_padding(input, output_size, state.stride, state.padding,
                                                       state.kernel_size, state._spatial, state.dilation)
        return extra

    def _padded(self, input: Any) -> Any:
        from ..float_nn import functional as F
        from ..float_nn.checks import batched

        layer: Any = self
        x, single = batched(input, layer._spatial, type(self).__name__)
        padded = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
        return padded[0] if single else padded

    # Frozen layers

    def _quantized_weight(self, input: Any) -> Any:
        """The weight of the float path: fake quantised; of a frozen layer from its integers, in the type of `input`."""
        frozen = self.__dict__.get("_frozen")
        layer: Any = self
        if frozen is None or not frozen.is_of(layer._parameters["weight"]):
            return layer._weight_quantizer(layer.weight)
        weight = frozen.weight.as_float()
        dtype = getattr(input, "dtype", weight.dtype)
        return weight.astype(dtype, copy=False) if dtype.kind == "f" else weight

    def _freeze(self, keep_float: bool) -> str | None:
        """Fixes the weight; or says why not."""
        state = self.__dict__
        weight, bias = state["_parameters"].get("weight"), state["_parameters"].get("bias")
        kept = self._kept_weight() if weight is not None and _is_library_class(type(self)) else "a class of its own"
        if isinstance(kept, str):
            return None if "_frozen" in state else kept
        own = own_copy(weight) if keep_float else None
        self._become_frozen(Kept(own, kept.weight))
        if bias is not None:
            state["_parameters"]["bias"] = own_copy(bias if bias.dtype.isnative else bias.astype(bias.dtype.type))
        self._lock()
        return None

    def _become_frozen(self, frozen: Kept) -> None:
        self.__dict__["_parameters"]["weight"] = frozen.proof
        self.__dict__["_frozen"] = frozen
        self.__dict__.pop("_kept", None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock()

    def _lock(self) -> None:
        """Makes the arrays of a frozen layer read-only."""
        frozen, bias = self.__dict__.get("_frozen"), self.__dict__["_parameters"].get("bias")
        if frozen is not None:
            frozen.lock()
            if bias is not None:
                bias.setflags(write=False)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        frozen = self.__dict__.get("_frozen")
        if frozen is not None and frozen.proof is None and self.__dict__["_parameters"]["weight"] is None:
            destination[prefix + VALUES] = frozen.weight.values
            destination[prefix + SCALE] = frozen.weight.scale

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Integers in the place of a weight make the layer a frozen one; nothing is quantised again."""
        state_dict, parameters = dict(state_dict), self.__dict__["_parameters"]
        frozen = self.__dict__.get("_frozen")
        bias = parameters.get("bias")
        assign = local_metadata.get("assign_to_params_buffers")
        if frozen is not None and not assign and self._refuses_weight(frozen, state_dict, prefix, error_msgs):
            state_dict.update({prefix + "bias": bias} if bias is not None else {})
        elif frozen is not None and bias is not None:  # it is read-only: a copy takes the values
            parameters["bias"] = own_copy(bias)
        values, scale = state_dict.pop(prefix + VALUES, None), state_dict.pop(prefix + SCALE, None)
        if values is not None or scale is not None:
            problem = self._load_integers(values, scale)
            if problem:
                error_msgs.append(f"integer weight of {prefix[:-1] or 'the layer'}: {problem}")
                state_dict[prefix + "weight"] = parameters["weight"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict,  # type: ignore[misc]
                                      missing_keys, unexpected_keys, error_msgs)
        self._lock()

    def _refuses_weight(self, frozen: Kept, state_dict: dict[str, Any], prefix: str, error_msgs: list[str]) -> bool:
        """A frozen layer takes no other float weight than the one it has."""
        key = prefix + "weight"
        if frozen.proof is None or key not in state_dict or prefix + VALUES in state_dict:
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

    def _load_integers(self, values: Any, scale: Any) -> str | None:
        if not isinstance(values, np.ndarray) or values.dtype.char not in "bB":
            return "expected int8 or uint8 values"
        weight, frozen = self.__dict__["_parameters"]["weight"], self.__dict__.get("_frozen")
        shape = weight.shape if weight is not None else frozen.weight.values.shape if frozen is not None else None
        if values.shape != shape:
            return f"size mismatch: the checkpoint has shape {values.shape}, the layer {shape}"
        transposed = getattr(self, "_transposed", False)
        channels = shape[1] if transposed else shape[0]
        if not isinstance(scale, np.ndarray) or scale.dtype.char != "f" or scale.shape not in ((1,), (channels,)):
            return f"expected a scale of shape (1,) or ({channels},), float32"
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            return "expected positive finite scales"
        quantization = weight_quantization(Int(8, values.dtype.char == "B"), scale.copy(), transposed)
        self._become_frozen(Kept(None, IntegerWeight(values.copy(), quantization)))
        self.__dict__["_frozen"].lock()
        return None

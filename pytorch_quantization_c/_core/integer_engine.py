"""The integer arithmetic of a quantised layer, for any front: an engine that the layer owns.

The engine decides for each call whether integers give the answer, keeps the integer weight between calls for as long as
it is proved unchanged, and freezes it on request. A front derives from `IntegerEngine`, which knows layers and
quantisers by their attributes alone and arrays through a few hooks.
"""
from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from operator import attrgetter, itemgetter
from types import SimpleNamespace
from typing import Any, ClassVar, Generic

import numpy as np
from numpy.typing import NDArray

from ..integer.eligibility import format_or_refusal, geometry_of, has_row_ranges, range_refusal
from ..integer.float_only import STATE
from ..integer.guards import STEPS
from ..integer.packed import Geometry, PackedWeights
from ..integer.pointwise import PointwiseInt4
from ..integer.settings import fixed
from ..integer.weights import (
    CachedWeight,
    IntegerWeight,
    Packed,
    folded_weight,
    packed_groups,
    quantized_groups,
    quantized_weight,
    weight_key,
)
from .formats import Int
from .host import A, HostLayer, HostQuantizer
from .integer_state import integer_weight

__all__ = ["IntegerEngine"]

OWN_CLASS = "a class of its own"
OWN_STEP = "a step of its own"
EACH_CHANNEL = "the input has an amax for each channel"
OTHER_BIAS = "the bias is not one number for each output channel"
UNSTEADY = "the weight or its quantiser is being changed"
ATTEMPTS = 4  # to quantise a weight while nobody changes its settings
LINEAR = Geometry()
GEOMETRY = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
_geometry = itemgetter(*GEOMETRY)
_weight_settings = attrgetter("_axis", "_scale_amax", "_num_bits", "_unsigned", "_narrow_range", "_block_sizes",
                               "_channel_groups")
MAX_PHASES = 4096  # of a transposed convolution, which is one ordinary convolution for each of its strides


class IntegerEngine(ABC, Generic[A]):
    """The integer arithmetic of one layer, and what is kept for it between calls.

    On integers the sum of products is exact; it is rounded to float32, multiplied by the float32 nearest to
    1 / (scale of input * scale of weight), and the bias is added with one more rounding: within 2 units in the last
    place of the layer's largest output of what the fake-quantised layer is in float64.
    """

    execution: str
    cached: CachedWeight | None
    frozen: CachedWeight | None

    #: Modules whose classes may define the steps of a layer, and the one module of quantisers.
    library: ClassVar[tuple[str, ...]]
    quantizers: ClassVar[str]
    _library_classes: ClassVar[dict[type, bool]] = {}

    _format_or_refusal = staticmethod(format_or_refusal)

    def __init__(self) -> None:
        self._lock = threading.RLock()  # held while a layer loses its float weight
        self.execution = "auto"
        self.cached = self.frozen = None

    # What a front defines

    @abstractmethod
    def _parameter(self, layer: HostLayer[A], name: str) -> A | None:
        """The front's `weight` or `bias` of a layer, or None."""

    @abstractmethod
    def _refusal(self, layer: HostLayer[A], input: A) -> str | None:
        """Why the front cannot hand these arrays to the engine."""

    @abstractmethod
    def as_numpy(self, value: A) -> NDArray[Any]:
        """The front's array as a NumPy one that shares its memory."""

    @abstractmethod
    def from_numpy(self, array: NDArray[Any]) -> A:
        """A new NumPy array as the front's."""

    @abstractmethod
    def _padded(self, layer: HostLayer[A], input: A, mode: str) -> A:
        """The input of a convolution with another padding mode than zeros, padded."""

    @abstractmethod
    def _still_frozen(self, layer: HostLayer[A], frozen: CachedWeight) -> bool:
        """Whether the layer has the weight that it was frozen with."""

    @abstractmethod
    def _freeze_refusal(self, layer: HostLayer[A]) -> str | None:
        """Why a layer with such a weight cannot be frozen, whatever the weight."""

    @abstractmethod
    def _frozen_proof(self, layer: HostLayer[A], keep_float: bool) -> Any:
        """Gives a layer that is being frozen its final weight and bias, and returns what proves them unchanged."""

    # A call

    def run(self, layer: HostLayer[A], input: A, output_size: object = None) -> A | None:
        """The result by integer arithmetic, or None if this layer, as it is set, cannot be computed so."""
        return self._noted(self._answer(layer, input, output_size))

    def _noted(self, answer: A | str) -> A | None:
        """Records how a call was computed; None if `answer` is a sentence that says why it was not."""
        if isinstance(answer, str):
            self.execution = "float: " + answer
            return None
        self.execution = "int8"
        return answer

    def _answer(self, layer: HostLayer[A], input: A, output_size: object) -> A | str:
        """The result, or a sentence that says why integers cannot give it."""
        if not STATE["allowed"]:
            return "integers are switched off"
        quantizer = layer._modules.get("_input_quantizer")
        if not (self._library_classes.get(type(layer)) or self._is_library_class(type(layer))):
            return OWN_CLASS
        if quantizer is None or type(quantizer).__module__ != self.quantizers:
            return OWN_CLASS
        if not STEPS.isdisjoint(layer.__dict__):
            return OWN_STEP
        format, amax = self._format_or_refusal(quantizer, "input"), quantizer._state("_amax")
        if isinstance(format, str):
            return format
        by_row, why = has_row_ranges(quantizer, amax, input), self._refusal(layer, input)
        if why is not None:
            return why
        refused = None if by_row else range_refusal(quantizer, amax)
        if refused is not None and (amax is None or quantizer._zero_point):
            return refused
        cached = self.cached_weight(layer)
        if isinstance(cached, str):
            return cached
        if by_row:
            return self._rows(layer, cached, quantizer, format, input)
        if refused is not None:
            return self._folded(layer, cached, quantizer, format, input, output_size)
        return self._product(layer, cached, quantizer, format, amax, input, output_size)

    def _folded(self, layer: HostLayer[A], cached: CachedWeight, quantizer: HostQuantizer[A], format: Int, input: A,
                output_size: object) -> A | str:
        """The product with a fixed range for each input channel, powers of two apart: the weight takes the factors."""
        amax = self.as_numpy(quantizer._get_amax(input))
        found = folded_weight(cached, amax, len(input.shape), _is_transposed(layer), getattr(layer, "groups", 1))
        if isinstance(found, str):
            return found
        folded, least, factors = found
        scaled = self.from_numpy(self.as_numpy(input) * (np.float32(1) / factors))
        return self._product(layer, folded, quantizer, format, self.from_numpy(least), scaled, output_size, folded=True)

    def _rows(self, layer: HostLayer[A], cached: CachedWeight, quantizer: HostQuantizer[A], format: Int,
              input: A) -> A | str:
        """The product of a linear layer whose input has a dynamic range for each row."""
        if quantizer._zero_point or len(cached.weight.shape) != 2:
            return "the input has a range for each row" if quantizer._zero_point else EACH_CHANNEL
        few = cached.weight.quantization.format.num_bits in (2, 3, 4)
        packed: Any = packed_groups(cached, format) if few else self._packed(layer, cached, format, {}, False)
        bias = self._parameter(layer, "bias")
        if isinstance(packed, str):
            return packed
        if bias is not None and tuple(bias.shape) != (packed.outputs,):
            return OTHER_BIAS
        amax = None if quantizer._scale_amax is None else self.as_numpy(quantizer._get_amax(input))
        if few and amax is None:
            self._called(layer, cached, packed, quantizer, format, bias, {}, rows_of=len(input.shape))
        answer = packed.product(self.as_numpy(input), amax, None if bias is None else self.as_numpy(bias),
                                by_row=True)
        return answer if isinstance(answer, str) else self.from_numpy(answer)

    def cached_weight(self, layer: HostLayer[A]) -> CachedWeight | str:
        """The integer weight: of a frozen layer, the one of the last call if it is proved unchanged, or a new one."""
        frozen, weight = self._weights(layer)
        if frozen is not None:
            return frozen
        quantizer = layer._modules.get("_weight_quantizer")
        if quantizer is None or type(quantizer).__module__ != self.quantizers:
            return OWN_CLASS
        for _ in range(ATTEMPTS):
            format = self._format_or_refusal(quantizer, "weight")
            if isinstance(format, str):
                return format
            if weight is None:
                return "there is no weight"
            key, cached = self._weight_key(quantizer, weight), self.cached
            if cached is not None and cached.proof == key:
                return cached
            found = self._quantized(layer, quantizer, weight)
            if isinstance(found, str):
                return found
            if self._weight_key(quantizer, weight) == key:  # nobody has changed anything since the key was made
                cached = self.cached = CachedWeight(key, found)
                return cached
        return UNSTEADY

    def _quantized(self, layer: HostLayer[A], quantizer: HostQuantizer[A], weight: A) -> IntegerWeight | str:
        array, format = self.as_numpy(weight), self._format_or_refusal(quantizer, "weight")
        if isinstance(format, str):
            return format
        if array.dtype.char != "f":
            return f"the weight is {array.dtype}"
        if array.size == 0:
            return "the weight is empty"
        if quantizer._block_sizes is not None:
            amax = quantizer._state("_amax")
            return quantized_groups(array, None if amax is None else self.as_numpy(amax), format,
                                    quantizer._block_sizes, quantizer._scale_amax)
        return quantized_weight(array, self.as_numpy(quantizer._get_amax(weight)), format, _is_transposed(layer),
                                getattr(layer, "groups", 1))

    def _weights(self, layer: HostLayer[A]) -> tuple[CachedWeight | None, A | None]:
        """What the layer was frozen with, or None and the front's float weight; never between the two."""
        frozen, weight = self.frozen_weight(layer), self._parameter(layer, "weight")
        if frozen is None and weight is None:
            with self._lock:
                return self.frozen_weight(layer), self._parameter(layer, "weight")
        return frozen, weight

    def frozen_weight(self, layer: HostLayer[A]) -> CachedWeight | None:
        """What a layer was frozen with; None if it is not, or no longer, as it was given another weight."""
        frozen = self.frozen
        if frozen is not None and not self._still_frozen(layer, frozen):
            if self.frozen is frozen:
                self.thaw(layer)
            return None
        return frozen

    def thaw(self, layer: HostLayer[A]) -> None:
        """From now on the weight is checked again."""
        self.frozen = None

    def _weight_key(self, quantizer: HostQuantizer[A], weight: A) -> tuple[Any, ...]:
        amax = quantizer._state("_amax")
        return weight_key(self.as_numpy(weight), None if amax is None else self.as_numpy(amax),
                          fixed(_weight_settings(quantizer)))

    def _product(self, layer: HostLayer[A], cached: CachedWeight, quantizer: HostQuantizer[A], format: Int,
                 amax: A | None, input: A, output_size: object, folded: bool = False) -> A | str:
        bias, state = self._parameter(layer, "bias"), layer.__dict__
        ranges: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | None = None  # None: dynamic
        if quantizer._zero_point:
            ranges = self._range(quantizer, input)
        elif folded and amax is not None:
            ranges = self.as_numpy(amax)  # scaled already
        elif amax is not None or quantizer._scale_amax is not None:
            found = self._amax(quantizer, amax, input)
            ranges = None if found is None else self.as_numpy(found)
        own: dict[str, Any] = {}
        if "stride" in state:
            own.update(zip(GEOMETRY, _geometry(state), strict=True))
        settings = {name: fixed(value) for name, value in own.items()}
        if settings:
            if output_size is not None:
                settings["output_padding"] = _output_padding(layer, input, output_size)
            if _is_transposed(layer) and math.prod(settings["stride"]) > MAX_PHASES:
                return "the strides are too large"
            if settings["padding_mode"] != "zeros":
                input = self._padded(layer, input, settings["padding_mode"])
        packed = self._packed(layer, cached, format, settings, quantizer._zero_point)
        if isinstance(packed, str):
            return packed
        if bias is not None and tuple(bias.shape) != (packed.outputs,):
            return OTHER_BIAS
        if output_size is None and not folded:
            self._called(layer, cached, packed, quantizer, format, bias, own)
        answer = packed.product(self.as_numpy(input), ranges, None if bias is None else self.as_numpy(bias))
        return answer if isinstance(answer, str) else self.from_numpy(answer)

    def _amax(self, quantizer: HostQuantizer[A], amax: A | None, input: A) -> A | None:
        """The range of the input, scaled, as the front's array; None: dynamic."""
        if quantizer._scale_amax is None:
            return amax
        return quantizer._get_amax(input) if math.prod(input.shape) else None

    def _range(self, quantizer: HostQuantizer[A], input: A) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Both ends of the range of an input with a zero point; None: of nothing."""
        if not math.prod(input.shape):
            return None
        low, high = quantizer._get_range(input)
        return self.as_numpy(low), self.as_numpy(high)

    @staticmethod
    def _packed(layer: HostLayer[A], cached: CachedWeight, format: Int, settings: dict[str, Any],
                two_ended: bool) -> Packed | str:
        """The packed weights for these settings of a convolution; a linear layer has none."""
        if cached.weight.wants_groups:
            groups = packed_groups(cached, format, two_ended)
            if isinstance(groups, str) or not settings:
                return groups
            at_once = SimpleNamespace(**settings, transposed=_is_transposed(layer))
            return PointwiseInt4(groups, geometry_of(at_once, cached.weight.shape, tuple(settings["output_padding"])))
        wanted, known = (format, two_ended, *settings.values()), cached.packed
        if known is not None and known[0] == wanted:
            return known[1]
        shape, at_once = cached.weight.shape, SimpleNamespace(**settings, transposed=_is_transposed(layer))
        geometry = geometry_of(at_once, shape, tuple(settings["output_padding"])) if settings else LINEAR
        packed = PackedWeights(cached.weight.values, cached.weight.scale, geometry, format, two_ended)
        cached.packed = wanted, packed  # at once: other threads may pack for other settings
        return packed

    @abstractmethod
    def _called(self, layer: HostLayer[A], cached: CachedWeight, packed: Packed, quantizer: HostQuantizer[A],
                format: Int, bias: A | None, settings: dict[str, Any], rows_of: int | None = None) -> None:
        """Told of a call before it happens, to prepare the next one.

        `rows_of`: each row of an input with this many axes has a range.
        """

    def _is_library_class(self, cls: type) -> bool:
        """True unless a subclass overrides a method that integers would bypass."""
        known = self._library_classes.get(cls)
        if known is None:
            methods = [getattr(cls, name) for name in STEPS if hasattr(cls, name)]
            known = all(method.__module__.startswith(self.library) for method in methods)
            self._library_classes[cls] = known
        return known

    # The float path

    def float_weight(self, layer: HostLayer[A], input: A) -> A:
        """The weight of the float path: fake quantised; of a frozen layer from its integers, in the type of `input`."""
        frozen, weight = self._weights(layer)
        if frozen is None:
            return layer._weight_quantizer(weight)
        return self._in_type_of(input, frozen.weight.as_float())

    @abstractmethod
    def _in_type_of(self, input: A, weight: NDArray[np.float32]) -> A:
        """`weight` as the front's array, in the floating-point type of `input`."""

    # Frozen layers

    def freeze(self, layer: HostLayer[A], keep_float: bool) -> str | None:
        """Fixes the weight; or says why not."""
        why = self._freeze_refusal(layer)
        if why is not None:
            return why
        has_weight = self._parameter(layer, "weight") is not None and self._is_library_class(type(layer)) and \
            STEPS.isdisjoint(vars(layer))
        cached = self.cached_weight(layer) if has_weight else OWN_CLASS
        if isinstance(cached, str):
            return None if self.frozen is not None else cached
        self.take(layer, cached.weight, keep_float)
        return None

    def take(self, layer: HostLayer[A], weight: IntegerWeight, keep_float: bool) -> None:
        """Freezes the layer with an integer weight that is known to be correct."""
        with self._lock:
            self._become_frozen(CachedWeight(self._frozen_proof(layer, keep_float), weight))
            self.lock(layer)

    def _become_frozen(self, frozen: CachedWeight) -> None:
        frozen.weight.fix()
        self.frozen, self.cached = frozen, None

    @abstractmethod
    def lock(self, layer: HostLayer[A]) -> None:
        """Makes the arrays of a frozen layer read-only, where the front's can be."""

    @abstractmethod
    def before_load(self, layer: HostLayer[A], state_dict: dict[str, Any], prefix: str, assign: bool,
                    error_msgs: list[str]) -> None:
        """Prepares a frozen layer for a state: what cannot take it makes room, what must not change is left out."""

    def has_no_float(self, layer: HostLayer[A]) -> bool:
        """Whether the layer is frozen without its float weight."""
        frozen = self.frozen
        return frozen is not None and frozen.proof is None and self._parameter(layer, "weight") is None

    def load(self, layer: HostLayer[A], state: dict[str, Any]) -> str | None:
        """Freezes the layer with integers from a state, as `state_of` makes it; else returns what is wrong."""
        why = self._freeze_refusal(layer)
        if why is not None:
            return why
        weight, frozen = self._parameter(layer, "weight"), self.frozen
        shape = tuple(weight.shape) if weight is not None else None if frozen is None else frozen.weight.shape
        arrays = {name: None if value is None else self.as_numpy(value) for name, value in state.items()}
        found = integer_weight(arrays, shape, _is_transposed(layer), getattr(layer, "groups", 1))
        if isinstance(found, str):
            return found
        with self._lock:
            proof = self._frozen_proof(layer, keep_float=False)  # not locked: the bias is still to be loaded
            self._become_frozen(CachedWeight(proof, found))
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {"execution": self.execution, "frozen": self.frozen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.execution, frozen = state["execution"], state["frozen"]
        if frozen is not None:
            self._become_frozen(frozen)


def _is_transposed(layer: object) -> bool:
    return bool(getattr(layer, "transposed", False))


def _output_padding(layer: Any, input: A, output_size: object) -> tuple[int, ...]:
    found: tuple[int, ...] = layer._output_padding(input, output_size, layer.stride, layer.padding, layer.kernel_size,
                                                   len(layer.kernel_size), layer.dilation)
    return found

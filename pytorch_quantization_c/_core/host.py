"""What the rules of `_core` ask of a front: its array, its quantiser and its layer, as types.

A front is a set of classes over one kind of array: NumPy's, or torch's tensors. Rules that pass arrays through are
generic in `A`; those that look at a front's objects from outside take one of the protocols.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .axes import Axis
from .blocks import Blocks, BlockSettings
from .quantization import Quantization

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["A", "HostArray", "HostLayer", "HostModule", "HostQuantizer", "QuantizerHost"]


A = TypeVar("A", bound="HostArray")


class HostArray(Protocol):
    """The array interface that the rules use. Operators are elementwise, with a number or what broadcasts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __add__(self, other: Self | float, /) -> Self: ...
    def __sub__(self, other: Self | float, /) -> Self: ...
    def __mul__(self, other: Self | float, /) -> Self: ...
    def __truediv__(self, other: Self | float, /) -> Self: ...
    def __matmul__(self, other: Self, /) -> Self: ...
    def __neg__(self) -> Self: ...

    def __getitem__(self, key: Any, /) -> Self:
        """A part: slices, an index, or an array of indices for each axis."""
        ...

    def reshape(self, shape: tuple[int, ...], /) -> Self:
        """The same elements in another shape."""
        ...

    def swapaxes(self, first: int, second: int, /) -> Self:
        """With two axes exchanged."""
        ...

    def mean(self, axis: int, /) -> Self:
        """The mean over an axis."""
        ...


class HostQuantizer(Protocol[A]):
    """What an integer engine reads of a quantiser."""

    _num_bits: int | tuple[int, int]
    _axis: Axis
    _unsigned: bool
    _narrow_range: bool
    _zero_point: bool
    _scale_amax: float | None
    _block_sizes: Blocks | None

    def __call__(self, inputs: A | None, /) -> A:
        """The quantised inputs; an exception for None."""
        ...

    def _state(self, name: str) -> A | None:
        """The buffer or parameter of a range, or None."""
        ...

    def _get_amax(self, inputs: A) -> A:
        """The fixed amax, or that of the inputs; times scale_amax."""
        ...

    def _get_range(self, inputs: A) -> tuple[A, A]:
        """Both ends of the fixed range, or those of the inputs; times scale_amax."""
        ...


class HostModule:
    """The base classes that follow a layer's rules: the front's mixins and its Module, as the rules use them."""

    if TYPE_CHECKING:
        training: bool
        _parameters: dict[str, Any]

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def forward(self, *args: Any, **kwargs: Any) -> Any: ...
        def train(self, *args: Any, **kwargs: Any) -> Any: ...
        def modules(self, *args: Any, **kwargs: Any) -> Iterator[Any]: ...
        def parameters(self, *args: Any, **kwargs: Any) -> Iterator[Any]: ...
        def register_parameter(self, *args: Any, **kwargs: Any) -> None: ...
        def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None: ...


class HostLayer(Protocol[A]):
    """What an integer engine reads of a layer; its geometry, if it has one, are further attributes."""

    @property
    def _modules(self) -> Mapping[str, Any]:
        """Children by name, the quantisers among them."""
        ...

    @property
    def _weight_quantizer(self) -> HostQuantizer[A]:
        """The quantiser of the weight."""
        ...


class QuantizerHost(BlockSettings, ABC, Generic[A]):
    """What a front's quantiser defines, or overrides where its arrays differ from NumPy's; and the state it has."""

    name: str | None
    _num_bits: int | tuple[int, int]
    _axis: Axis
    _unsigned: bool
    _narrow_range: bool
    _fake_quant: bool
    _scale_amax: float | None
    _learn_amax: bool
    _scale: A | float | None
    _disabled: bool
    _if_quant: bool
    _if_clip: bool
    _if_calib: bool
    _calibrator: Any
    _buffers: dict[str, Any]
    _parameters: dict[str, Any]
    _amin: A | None
    _amax: A | None
    _pre_quant_scale: A | None
    clip: Any

    @abstractmethod
    def _new_buffer(self, value: object, name: str = "value") -> A:
        """A fresh array from a number, list or array: floats keep their type, all else becomes float32.

        TypeError naming the argument, `name`, for anything but numbers.
        """

    @abstractmethod
    def _is_array(self, value: object) -> bool:
        """Whether `value` is the front's array of floats."""

    @abstractmethod
    def _is_parameter(self, value: object) -> bool:
        """Whether `value` is the front's parameter."""

    @abstractmethod
    def _fill(self, target: A, value: object) -> None:
        """Writes `value`, which broadcasts, into the buffer or parameter `target`, keeping its type."""

    def _numbers(self, array: object) -> NDArray[Any]:
        """The front's array as a NumPy one, for reading."""
        return np.asarray(array)

    @abstractmethod
    def _as_inputs(self, inputs: object) -> A:
        """The argument of forward as the front's array."""

    @abstractmethod
    def _scaled_inputs(self, inputs: A, scale: A) -> A:
        """inputs * scale in the type of inputs."""

    def _is_empty(self, inputs: A) -> bool:
        """Whether there are no elements."""
        return 0 in inputs.shape

    @abstractmethod
    def _dynamic_amax(self, inputs: A, axes: list[int] | None) -> A:
        """`reduce_amax(inputs, axes)`, outside of any gradient."""

    @abstractmethod
    def _as_float(self, amax: A) -> A:
        """amax in float32 or float64, cut off from gradients; other types become float32."""

    @abstractmethod
    def _learned_amax(self) -> A:
        """max(-clip.clip_value_min, clip.clip_value_max), cut off from gradients."""

    @abstractmethod
    def _quantize(self, inputs: A, amax: A) -> tuple[A, A]:
        """tensor_quant: integers and scale."""

    @abstractmethod
    def _fake_quantize(self, inputs: A, amax: A) -> A:
        """fake_tensor_quant."""

    @abstractmethod
    def _e4m3(self, inputs: A, amax: A) -> A:
        """scaled_e4m3."""

    @abstractmethod
    def _float_quantize(self, inputs: A, amax: A) -> A:
        """scaled_float of another format than E4M3."""

    @abstractmethod
    def _block_quantize(self, inputs: A, amax: A | None) -> A:
        """fake_block_quant; without `amax`, of each array's own ranges."""

    @abstractmethod
    def _range_quantize(self, inputs: A, amin: A, amax: A) -> A:
        """fake_range_quant."""

    @abstractmethod
    def _codes(self, inputs: A, amin: A | None, amax: A | None) -> tuple[A, Quantization]:
        """Real quantisation to codes of a byte, of small floats, in blocks or with a zero point."""

    @abstractmethod
    def _dynamic_amin(self, inputs: A, axes: list[int] | None) -> A:
        """The least of 0 and the elements over `axes`, as `_dynamic_amax` has it, outside of any gradient."""

    @abstractmethod
    def _make_clip(self, limit: float) -> Any:
        """Clip(-limit, limit) with both limits learnt."""

    @abstractmethod
    def _make_calibrator(self, method: str) -> Any:
        """The calibrator for "max" or "histogram"."""

"""The state machine of `TensorQuantizer`, shared by every front.

`QuantizerRules` is a mixin for a module class of the torch kind: one with `_buffers`, `register_buffer`,
`_load_from_state_dict` and attribute access to buffers, parameters and children. A front derives

    class TensorQuantizer(QuantizerRules, Module)

calls `_set_up` after `Module.__init__`, and defines the abstract methods. All else is here.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Axis, axes_to_reduce
from .blocks import Blocks
from .descriptor import ScaledQuantDescriptor, checked_bits
from .errors import ShapeError
from .formats import E4M3, Float, Int, number_format
from .lazy_logger import get_logger
from .quantization import Quantization
from .quantizer_parts import STATE
from .quantizer_ranges import QuantizerRanges
from .quantizer_text import QuantizerText, tell_reader
from .state_bits import note_bits, warn_of_other_bits

logger = get_logger(__name__)


class QuantizerRules(QuantizerText, QuantizerRanges, ABC):
    """Everything about a quantiser but the arrays. See the module's text for how a front uses it."""

    # The switch of quant_modules.enable_onnx_export: forward checks that the quantiser can be exported.
    _enable_onnx_export = False

    #: The original's older switch: set on the class, it does for the time of an export what enable_onnx_export() does.
    use_fb_fake_quant = False

    #: Shown in messages about this quantiser; the descriptor's name at first.
    name: str | None = None
    # Objects that were pickled by older versions of the original lack these.
    _narrow_range = False
    _block_sizes: Blocks | None = None
    _zero_point = False
    _quantization: Quantization | None = None
    _if_clip = False
    _calibrator: Any = None  # pyright: ignore
    _buffers: Any
    _parameters: Any
    _amin: Any
    _amax: Any
    _pre_quant_scale: Any
    clip: Any

    # What a front defines, or overrides where its arrays differ from NumPy's

    @abstractmethod
    def _new_buffer(self, value: Any, name: str = "value") -> Any:
        """A fresh array from a number, list or array: floats keep their type, all else becomes float32.

        TypeError naming the argument, `name`, for anything but numbers.
        """

    @abstractmethod
    def _is_array(self, value: Any) -> bool:
        """Whether `value` is the front's array of floats."""

    @abstractmethod
    def _is_parameter(self, value: Any) -> bool:
        """Whether `value` is the front's parameter."""

    @abstractmethod
    def _fill(self, target: Any, value: Any) -> None:
        """Writes `value`, which broadcasts, into the buffer or parameter `target`, keeping its type."""

    def _numbers(self, array: Any) -> NDArray[Any]:
        """The front's array as a NumPy one, to look at."""
        return np.asarray(array)

    @abstractmethod
    def _as_inputs(self, inputs: Any) -> Any:
        """What forward was given, as the front's array."""

    @abstractmethod
    def _scaled_inputs(self, inputs: Any, scale: Any) -> Any:
        """inputs * scale in the type of inputs."""

    def _is_empty(self, inputs: Any) -> bool:
        """Whether there are no elements."""
        return bool(inputs.size == 0)

    @abstractmethod
    def _dynamic_amax(self, inputs: Any, axes: list[int] | None) -> Any:
        """`reduce_amax(inputs, axes)`, outside of any gradient."""

    @abstractmethod
    def _as_float(self, amax: Any) -> Any:
        """amax in float32 or float64, cut off from gradients; other types become float32."""

    @abstractmethod
    def _learned_amax(self) -> Any:
        """max(-clip.clip_value_min, clip.clip_value_max), cut off from gradients."""

    @abstractmethod
    def _quantize(self, inputs: Any, amax: Any) -> tuple[Any, Any]:
        """tensor_quant: integers and scale."""

    @abstractmethod
    def _fake_quantize(self, inputs: Any, amax: Any) -> Any:
        """fake_tensor_quant."""

    @abstractmethod
    def _e4m3(self, inputs: Any, amax: Any) -> Any:
        """scaled_e4m3."""

    @abstractmethod
    def _float_quantize(self, inputs: Any, amax: Any) -> Any:
        """scaled_float of another format than E4M3."""

    @abstractmethod
    def _block_quantize(self, inputs: Any, amax: Any) -> Any:
        """fake_block_quant; without `amax`, of each array's own ranges."""

    @abstractmethod
    def _range_quantize(self, inputs: Any, amin: Any, amax: Any) -> Any:
        """fake_range_quant."""

    @abstractmethod
    def _codes(self, inputs: Any, amin: Any, amax: Any) -> tuple[Any, Quantization]:
        """Real quantisation to codes of a byte, of small floats, in blocks or with a zero point."""

    @abstractmethod
    def _dynamic_amin(self, inputs: Any, axes: list[int] | None) -> Any:
        """The least of 0 and the elements over `axes`, as `_dynamic_amax` has it, outside of any gradient."""

    @abstractmethod
    def _make_clip(self, limit: float) -> Any:
        """Clip(-limit, limit) with both limits learnt."""

    @abstractmethod
    def _make_calibrator(self, method: str) -> Any:
        """The calibrator for "max" or "histogram"."""

    # Construction

    def _set_up(self, quant_desc: ScaledQuantDescriptor, disabled: bool, if_quant: bool, if_clip: bool,
                if_calib: bool) -> None:
        if not isinstance(quant_desc, ScaledQuantDescriptor):
            raise TypeError(f"Expected `quant_desc` to be a QuantDescriptor, got {type(quant_desc).__name__}")
        self.name = quant_desc.name
        self._num_bits = quant_desc.num_bits
        self._fake_quant = quant_desc.fake_quant
        self._axis = quant_desc.axis
        self._scale_amax = quant_desc.scale_amax
        self._learn_amax = quant_desc.learn_amax
        self._unsigned = quant_desc.unsigned
        self._narrow_range = quant_desc.narrow_range
        self._block_sizes = quant_desc.blocks
        self._zero_point = quant_desc.zero_point
        self._scale: Any = 1.0 if quant_desc.fake_quant else None
        self._disabled = disabled
        self._if_quant = if_quant
        self._if_clip = False
        self._if_calib = if_calib
        if quant_desc.amin is not None:
            self._register("_amin", quant_desc.amin)
        if quant_desc.amax is not None:
            self._register("_amax", quant_desc.amax)
        if self._learn_amax:
            self.clip = self._make_clip(1.0 if quant_desc.amax is None else self._single(quant_desc.amax))
            self.enable_clip()
        elif if_clip:
            self.enable_clip()
        self._calibrator: Any = self._make_calibrator("range" if self._zero_point else quant_desc.calib_method)

    @staticmethod
    def _single(amax: NDArray[Any]) -> float:
        if amax.size != 1:
            raise ValueError(f"clip_value_min/clip_value_max must be scalar: a learnt `amax` has one element, "
                             f"got shape {amax.shape}")
        return float(amax.item())

    def _register(self, name: str, value: Any) -> None:
        parameter = self._parameters.get(name)
        if parameter is None:
            self._buffers[name] = self._new_buffer(value)
        else:
            self._fill(parameter, value)

    # Ranges and scales of inputs: buffers, or parameters where somebody learns them

    def _state(self, name: str) -> Any:
        """The buffer or the parameter of this name, one of `STATE`; None if there is neither."""
        found = self._buffers.get(name)
        return self._parameters.get(name) if found is None else found

    def __setattr__(self, name: str, value: Any) -> None:
        """As a module's; but what is put in the place of a range or a scale of inputs is a buffer from the start."""
        if name not in STATE or name in self._parameters or self._is_parameter(value):
            super().__setattr__(name, value)
        else:
            self._buffers[name] = value if value is None or self._is_array(value) else self._new_buffer(value, name)

    # Properties

    @property
    def num_bits(self) -> int | tuple[int, int]:
        """Bits of the integers, or of exponent and mantissa of small floats: (4, 3) for E4M3."""
        return self._num_bits

    @num_bits.setter
    def num_bits(self, value: int | tuple[int, int]) -> None:
        self._num_bits = checked_bits(value)

    @property
    def format(self) -> Int | Float:
        """The number format: bits, sign and range."""
        return number_format(self._num_bits, bool(self._unsigned), bool(self._narrow_range))

    @property
    def calibrator(self) -> Any:
        """The calibrator that collects what passes, or None."""
        return self._calibrator

    @property
    def maxbound(self) -> int | float:
        """The largest quantised value: 448 for E4M3, 0 for 0 bits."""
        return self.format.bound

    @property
    def unsigned(self) -> bool:
        """Whether the integers start at 0."""
        return self._unsigned

    @unsigned.setter
    def unsigned(self, value: bool) -> None:
        self._unsigned = value

    @property
    def narrow_range(self) -> bool:
        """Whether fake quantisation leaves out the lowest signed integer; real quantisation always does."""
        return self._narrow_range

    @narrow_range.setter
    def narrow_range(self, value: bool) -> None:
        self._narrow_range = value

    @property
    def scale(self) -> Any:
        """What the last real quantisation multiplied by; 1.0 for a fake quantiser, None before the first array."""
        if self._fake_quant:
            tell_reader("A fake quantizer has no scale of its own.")
        elif self._scale is None:
            tell_reader("No array was quantized yet, so there is no scale.")
        return self._scale

    @property
    def amax(self) -> Any:
        """The range as the buffer itself, or None while it is computed from each array."""
        return self._state("_amax")

    @amax.setter
    def amax(self, value: Any) -> None:
        """Raises RuntimeError if there is an amax of another shape, ValueError if one is negative."""
        self._set_buffer("_amax", value)

    @property
    def amin(self) -> Any:
        """The lower end of the range with `zero_point`, as the buffer itself; None while it is that of each array."""
        return self._state("_amin")

    @amin.setter
    def amin(self, value: Any) -> None:
        """Raises RuntimeError if there is an amin of another shape, ValueError if one is positive or there is no zero
        point."""
        if not self._zero_point:
            raise ValueError(f"Expected `amin` of a quantizer with zero_point alone: {self._shown_name()} has none")
        self._set_buffer("_amin", value)

    @property
    def block_sizes(self) -> dict[Any, Any] | None:
        """Blocks of neighbours that share a scale, as the descriptor has them, or None."""
        return None if self._block_sizes is None else self._block_sizes.as_dict()

    @property
    def blocks(self) -> Blocks | None:
        """`block_sizes` as an object, or None."""
        return self._block_sizes

    @property
    def zero_point(self) -> bool:
        """Whether the range has two ends."""
        return self._zero_point

    @property
    def quantization(self) -> Quantization | None:
        """What the last real quantisation's codes stand for, of small floats, blocks and zero points; else None."""
        return self._quantization

    @property
    def pre_quant_scale(self) -> Any:
        """Factor on every input, or None; it applies even if the quantiser is disabled (SmoothQuant)."""
        return self._state("_pre_quant_scale")

    @pre_quant_scale.setter
    def pre_quant_scale(self, value: Any) -> None:
        self._set_buffer("_pre_quant_scale", value)

    def _set_buffer(self, name: str, value: Any) -> None:
        public = name[1:]
        if value is None:
            logger.warning("Setting %s to None has no effect.", public)
            return
        fresh = self._new_buffer(value, public)
        numbers = self._numbers(fresh)
        if name == "_amax" and (numbers < 0).any():
            raise ValueError(f"Expected `amax` >= 0, got {numbers.min()}")
        if name == "_amin" and (numbers > 0).any():
            raise ValueError(f"Expected `amin` <= 0, got {numbers.max()}")
        buffer = self._state(name)
        if buffer is None:
            self._register(name, fresh)
        elif tuple(buffer.shape) != tuple(fresh.shape):
            raise RuntimeError(f"Changing shape when setting {public} is not allowed: expected {tuple(buffer.shape)}, "
                               f"got {tuple(fresh.shape)}")
        else:
            self._fill(buffer, fresh)

    @property
    def step_size(self) -> Any:
        """Distance between neighbouring quantised values at amax: no rounding error is more than half of it.

        For integers that is amax / bound, everywhere the same. E4M3 values are spaced unevenly, at most (from 256 to
        448 before scaling) by 32, so it is amax * 32 / 448. None without an amax, and where there is but one value.
        """
        amax = self.amax
        if amax is None:
            tell_reader("There is no step_size while amax is dynamic.")
            return None
        format = self.format
        if not format.bound:
            tell_reader("There is no step_size with one quantized value.")
            return None
        if self._block_sizes is not None and self._block_sizes.scale_bits is not None:
            tell_reader("There is no step_size where the scales of blocks are rounded.")
            return None
        if self._zero_point:
            return None if self.amin is None else (amax - self.amin) / float(2 ** format.bits - 1)
        if isinstance(format, Float):
            return amax * (format.top_spacing / format.bound)
        return amax / float(format.bound)

    @property
    def axis(self) -> Axis:
        """Axis or axes with an amax each; None for one amax."""
        return self._axis

    @property
    def fake_quant(self) -> bool:
        """Whether quantised values are dequantised at once."""
        return self._fake_quant

    # Forward

    def forward(self, inputs: Any) -> Any:
        """Scales, collects, clips and quantises, each as far as it is switched on.

        Args:
            inputs: an array of floats.

        Returns:
            The quantised array, in the type of the inputs; the inputs themselves if nothing is switched on.

        Raises:
            TypeError, ValueError: see `tensor_quant.tensor_quant`.
            RuntimeError: export is switched on and the quantiser has no amax.
        """
        if self._exports_onnx():
            self._check_onnx_readiness(inputs)
        if self.pre_quant_scale is not None:
            inputs = self._scaled_inputs(inputs, self.pre_quant_scale)
        if self._disabled:
            return inputs
        if self._if_calib:
            if self._calibrator is None:
                raise RuntimeError("Calibrator was not created.")
            self._calibrator.name = self.name
            self._calibrator.collect(inputs)
        if self._if_quant:
            return self._quant_forward(self._as_inputs(inputs))
        return self.clip(inputs) if self._if_clip else inputs

    def _quant_forward(self, inputs: Any) -> Any:
        format = self.format
        if self._block_sizes is not None:
            return self._block_forward(inputs)
        if self._zero_point:
            return self._range_forward(inputs)
        if isinstance(format, Float):
            amax = self._get_amax(inputs)
            if format == E4M3:
                return self._e4m3(inputs, amax)
            return self._float_quantize(inputs, amax) if self._fake_quant else self._coded(inputs, None, amax)
        if self._learn_amax:
            inputs, amax = self.clip(inputs), self._learned_amax()
        else:
            amax = self._get_amax(inputs)
        if self._fake_quant:
            return self._fake_quantize(inputs, amax)
        outputs, self._scale = self._quantize(inputs, amax)
        return outputs

    def _coded(self, inputs: Any, amin: Any, amax: Any) -> Any:
        codes, self._quantization = self._codes(inputs, amin, amax)
        return codes

    def _block_forward(self, inputs: Any) -> Any:
        assert self._block_sizes is not None
        if not inputs.shape:
            raise ShapeError(f"Expected an input that has the axis -1 of {self._shown_name()}, whose blocks lie along "
                             "it, got shape ()")
        amax = None if self.amax is None or self._block_sizes.ignores_amax else self._as_float(self.amax)
        return self._block_quantize(inputs, amax) if self._fake_quant else self._coded(inputs, None, amax)

    def _range_forward(self, inputs: Any) -> Any:
        ends = self._get_range(inputs)
        return self._range_quantize(inputs, *ends) if self._fake_quant else self._coded(inputs, *ends)

    def _get_range(self, inputs: Any) -> tuple[Any, Any]:
        """Both ends of the fixed range, or those of the inputs; times scale_amax."""
        amin, amax = self.amin, self.amax
        if amin is None or amax is None:
            if self._is_empty(inputs):
                nothing = self._new_buffer(np.float32(0))
                return nothing, nothing
            axes = axes_to_reduce(self._axis, inputs.shape, self._shown_name())
            amin, amax = self._dynamic_amin(inputs, axes), -self._dynamic_amin(-inputs, axes)  # with 0 in between
        amin, amax = self._as_float(amin), self._as_float(amax)
        factor = self._scale_amax
        return (amin, amax) if factor is None else (amin * factor, amax * factor)

    def _get_amax(self, inputs: Any) -> Any:
        """The fixed amax, or that of the inputs; times scale_amax."""
        amax = self.amax
        if amax is None:
            if self._is_empty(inputs):
                return self._new_buffer(np.float32(0))  # the range of nothing
            amax = self._dynamic_amax(inputs, axes_to_reduce(self._axis, inputs.shape, self._shown_name()))
        amax = self._as_float(amax)
        return amax if self._scale_amax is None else amax * self._scale_amax

    def _exports_onnx(self) -> bool:
        """Whether this forward is one of an export to ONNX."""
        return self._enable_onnx_export

    def _check_onnx_readiness(self, inputs: Any) -> None:
        if self.amax is None:
            raise RuntimeError(f"Quantizer has not been calibrated: expected {self._shown_name()} to have an amax "
                               "for ONNX export. Calibrate and load amax first.")
        if self._if_calib:
            logger.warning("%s still collects; finish calibration before exporting.", self._shown_name())
        shape = self._numbers(self.amax).shape
        small = isinstance(self.format, Float) and self.format != E4M3
        if self._block_sizes is not None or self._zero_point or small:
            raise RuntimeError(f"Expected {self._shown_name()} to have integers or E4M3 without blocks and zero point "
                               "for this export")
        if isinstance(self.format, Float) and np.prod(shape) != 1:
            raise RuntimeError(f"E4M3 is exported per tensor: expected an amax of one element, got shape {shape}")

    # State

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        note_bits(destination, prefix, self._num_bits)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any,
                              **kwargs: Any) -> None:
        """Makes the buffers that the state has and this quantiser has not yet, in whatever shape they come."""
        warn_of_other_bits(local_metadata, self._num_bits)
        for name in STATE:
            there, here = prefix + name in state_dict, self._state(name) is not None
            if there and not here:
                self._register(name, state_dict[prefix + name])
            elif here:
                logger.debug("%s%s: %s.", prefix, name, "overwritten" if there else "not in the state")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)

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
from .descriptor import ScaledQuantDescriptor, checked_bits
from .formats import Float, Int, number_format
from .lazy_logger import get_logger
from .quantizer_parts import STATE
from .quantizer_text import QuantizerText, tell_reader
from .state_bits import note_bits, warn_of_other_bits

logger = get_logger(__name__)


class QuantizerRules(QuantizerText, ABC):
    """Everything about a quantiser but the arrays. See the module's text for how a front uses it."""

    # The switch of quant_modules.enable_onnx_export: forward checks that the quantiser can be exported.
    _enable_onnx_export = False

    #: The original's older switch: set on the class, it does for the time of an export what enable_onnx_export() does.
    use_fb_fake_quant = False

    #: Shown in messages about this quantiser; the descriptor's name at first.
    name: str | None = None
    # Objects that were pickled by older versions of the original lack these.
    _narrow_range = False
    _if_clip = False
    _calibrator: Any = None  # pyright: ignore
    _buffers: Any
    _parameters: Any
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
        self._scale: Any = 1.0 if quant_desc.fake_quant else None
        self._disabled = disabled
        self._if_quant = if_quant
        self._if_clip = False
        self._if_calib = if_calib
        if quant_desc.amax is not None:
            self._register(STATE[0], quant_desc.amax)
        if self._learn_amax:
            self.clip = self._make_clip(1.0 if quant_desc.amax is None else self._single(quant_desc.amax))
            self.enable_clip()
        elif if_clip:
            self.enable_clip()
        self._calibrator: Any = self._make_calibrator(quant_desc.calib_method)

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
        """Bits of the integers, or (4, 3) for E4M3."""
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

    # Switches

    def disable(self) -> None:
        """Passes inputs through (pre_quant_scale still applies)."""
        self._disabled = True

    def enable(self) -> None:
        """Undoes `disable`."""
        self._disabled = False

    def disable_clip(self) -> None:
        """Stops learning the range; quantising still clips to it."""
        self._learnable().requires_grad = False
        self.clip.clip_value_max.requires_grad = False
        self._if_clip = False

    def enable_clip(self) -> None:
        """Learns the range. ValueError unless the descriptor says `learn_amax`."""
        if not self._learn_amax:
            raise ValueError("learn_amax is False. Cannot enable clip.")
        self._learnable().requires_grad = True
        self.clip.clip_value_max.requires_grad = True
        self._if_clip = True
        logger.info("Learning the range of %s.", self._shown_name())

    def _learnable(self) -> Any:
        if not self._learn_amax:
            raise AttributeError("learn_amax is False: this quantizer has no clip.")
        return self.clip.clip_value_min

    def disable_calib(self) -> None:
        """Stops collecting."""
        self._if_calib = False
        logger.debug("Stopped collecting for %s.", self._shown_name())

    def enable_calib(self) -> None:
        """Collects what passes. ValueError if there is no calibrator."""
        if self._calibrator is None:
            raise ValueError("Calibrator was not created, cannot enable calibration.")
        self._if_calib = True
        logger.debug("Collecting for %s.", self._shown_name())

    def disable_quant(self) -> None:
        """Leaves out the quantising stage (for calibration)."""
        self._if_quant = False

    def enable_quant(self) -> None:
        """Undoes `disable_quant`."""
        self._if_quant = True

    def _shown_name(self) -> str:
        return f"quantizer {self.name!r}" if self.name else "a quantizer without a name"

    # Calibrated and learnt ranges

    def load_calib_amax(self, *args: Any, **kwargs: Any) -> None:
        """Takes amax from the calibrator (a copy).

        Args:
            strict: with False, a calibrator that has seen nothing gives NaN instead of an error. Default True.
            others: passed on to the calibrator's `compute_amax(method=None, **options)`.

        Raises:
            RuntimeError: no calibrator, no data, or an amax that does not fit the shape of the present one.
        """
        strict = kwargs.pop("strict", True)
        if self._calibrator is None:
            raise RuntimeError("Calibrator not created.")
        self._calibrator.name = self.name
        found = self._calibrator.compute_amax(*args, **kwargs)
        if found is None:
            message = "Calibrator returned None. This usually happens when calibrator hasn't seen any tensor."
            if strict:
                raise RuntimeError(message + " Passing 'strict=False' to `load_calib_amax()` will ignore the error.")
            logger.warning("%s amax of %s is NaN now.", message, self._shown_name())
            found = self._new_buffer(np.float32(np.nan))
        self._take_amax(found)

    def _load_if_seen(self, *args: Any, **kwargs: Any) -> bool:
        """`load_calib_amax` unless the calibrator has seen nothing; whether it has."""
        self._calibrator.name = self.name
        found = self._calibrator.compute_amax(*args, **kwargs)
        if found is not None:
            self._take_amax(found)
        return found is not None

    def _take_amax(self, found: Any) -> None:
        amax = self.amax
        if amax is None:
            self._register("_amax", found)
        else:
            self._check_fits(tuple(found.shape), tuple(amax.shape))
            self._fill(amax, found)
        logger.debug("Loaded calibrated amax of shape %s into %s.", tuple(found.shape), self._shown_name())

    @staticmethod
    def _check_fits(shape: tuple[int, ...], present: tuple[int, ...]) -> None:
        try:
            fits = np.broadcast_shapes(shape, present) == present
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(f"Expected a calibrated amax of shape {present}, as the present one, got {shape}")

    def init_learn_amax(self) -> None:
        """Starts learning from the fixed amax, from its maximum if there are several.

        Raises:
            RuntimeError: the descriptor does not say `learn_amax`.
            AttributeError: there is no amax.
        """
        if not self._learn_amax:
            raise RuntimeError("Called init_learn_amax with learn_amax=False.")
        if self.amax is None:
            raise AttributeError("There is no amax to start learning from: set or calibrate one first.")
        numbers = self._numbers(self.amax)
        if numbers.size != 1:
            logger.warning("A learnt range is one number: %s starts from the maximum of its amax.", self._shown_name())
        limit = numbers.max()
        self._fill(self.clip.clip_value_min, self._new_buffer(-limit))
        self._fill(self.clip.clip_value_max, self._new_buffer(limit))

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
        if isinstance(self.format, Float):
            return self._e4m3(inputs, self._get_amax(inputs))
        if self._learn_amax:
            inputs, amax = self.clip(inputs), self._learned_amax()
        else:
            amax = self._get_amax(inputs)
        if self._fake_quant:
            return self._fake_quantize(inputs, amax)
        outputs, self._scale = self._quantize(inputs, amax)
        return outputs

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

"""The state machine of `TensorQuantizer`, shared by every front.

`QuantizerRules` is a mixin for a module class of the torch kind: one with `_buffers`, `register_buffer`,
`_load_from_state_dict` and attribute access to buffers, parameters and children. A front derives

    class TensorQuantizer(QuantizerRules, Module)

calls `_set_up` after `Module.__init__`, and defines the abstract methods. All else is here.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Axis, axes_to_reduce
from .descriptor import ScaledQuantDescriptor, checked_bits
from .errors import ShapeError
from .formats import E4M3, Float, Int, number_format
from .host import A
from .lazy_logger import get_logger
from .quantization import Quantization
from .quantizer_parts import STATE
from .quantizer_text import QuantizerText, tell_reader
from .state_bits import note_bits, warn_of_other_bits

logger = get_logger(__name__)


class QuantizerRules(QuantizerText[A]):
    """Everything about a quantiser except the arrays. The module's docstring says how a front uses it."""

    # The switch of quant_modules.enable_onnx_export: forward checks that the quantiser can be exported.
    _enable_onnx_export = False

    #: The original's older switch: set on the class for an export, it does what enable_onnx_export() does.
    use_fb_fake_quant = False

    #: Shown in messages about this quantiser; the descriptor's name at first.
    name: str | None = None
    # Objects that were pickled by older versions of the original lack these.
    _narrow_range = False
    _quantization: Quantization | None = None
    _if_clip = False
    _calibrator: Any = None  # pyright: ignore

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
            tell_reader("A fake quantiser has no scale of its own.")
        elif self._scale is None:
            tell_reader("No array was quantised yet, so there is no scale.")
        return self._scale

    @property
    def quantization(self) -> Quantization | None:
        """What the last real quantisation's codes stand for, of small floats, blocks and zero points; else None."""
        return self._quantization

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
            tell_reader("There is no step_size with one quantised value.")
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
        if self._as_matrix and self._block_sizes is not None and len(inputs.shape) > 2:
            return self.forward(inputs.reshape(inputs.shape[0], -1)).reshape(inputs.shape)
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

    def _quant_forward(self, inputs: A) -> A:
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

    def _coded(self, inputs: A, amin: A | None, amax: A | None) -> A:
        codes, self._quantization = self._codes(inputs, amin, amax)
        return codes

    def _block_forward(self, inputs: A) -> A:
        assert self._block_sizes is not None
        if not inputs.shape:
            raise ShapeError(f"Expected an input that has the axis -1 of {self._shown_name()}, whose blocks lie along "
                             "it, got shape ()")
        amax = None if self.amax is None or self._block_sizes.ignores_amax else self._as_float(self.amax)
        return self._block_quantize(inputs, amax) if self._fake_quant else self._coded(inputs, None, amax)

    def _range_forward(self, inputs: A) -> A:
        ends = self._get_range(inputs)
        return self._range_quantize(inputs, *ends) if self._fake_quant else self._coded(inputs, *ends)

    def _get_range(self, inputs: A) -> tuple[A, A]:
        """Both ends of the fixed range, or those of the inputs; times scale_amax."""
        amin, amax = self.amin, self.amax
        if amin is None or amax is None:
            if self._is_empty(inputs):
                nothing = self._new_buffer(np.float32(0))
                return nothing, nothing
            axes = axes_to_reduce(self._axis, inputs.shape, self._shown_name())
            # both ends: 0 is in between
            return self._scaled_ends(self._dynamic_amin(inputs, axes), -self._dynamic_amin(-inputs, axes))
        return self._scaled_ends(amin, amax)

    def _scaled_ends(self, amin: A, amax: A) -> tuple[A, A]:
        low, high = self._as_float(amin), self._as_float(amax)
        factor = self._scale_amax
        return (low, high) if factor is None else (low * factor, high * factor)

    def _get_amax(self, inputs: A) -> A:
        """The fixed amax, or that of the inputs; times scale_amax."""
        amax = self.amax
        if amax is None:
            if self._is_empty(inputs):
                return self._new_buffer(np.float32(0))  # the range of nothing
            amax = self._of_groups(self._dynamic_amax(inputs, axes_to_reduce(self._axis, inputs.shape,
                                                                             self._shown_name())))
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

    def _save_to_state_dict(self, destination: object, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        note_bits(destination, prefix, self._num_bits)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: object, *args: Any,
                              **kwargs: Any) -> None:
        """Creates the buffers that the state has and this quantiser lacks, in the shapes of the state."""
        warn_of_other_bits(local_metadata, self._num_bits)
        for name in STATE:
            there, here = prefix + name in state_dict, self._state(name) is not None
            if there and not here:
                self._register(name, state_dict[prefix + name])
            elif here:
                logger.debug("%s%s: %s.", prefix, name, "overwritten" if there else "not in the state")
        super()._load_from_state_dict(state_dict, prefix, local_metadata,  # type: ignore[misc]
                                      *args, **kwargs)

"""The ranges of a quantiser: held, switched, calibrated and learnt."""
from __future__ import annotations

from typing import Any

import numpy as np

from .host import A, QuantizerHost
from .lazy_logger import get_logger
from .quantizer_parts import STATE

__all__ = ["QuantizerRanges"]

logger = get_logger(__name__)


class QuantizerRanges(QuantizerHost[A]):
    """The ranges that a quantiser holds, where they come from, and the switches of its stages."""

    _channel_groups = 1  # of a weight; with a range for each index of axes 0 and 1 groups of axis 0 have one
    _as_matrix = False  # of a weight whose blocks lie along axis 1, as all behind it are of length 1

    def _register(self, name: str, value: object) -> None:
        parameter = self._parameters.get(name)
        if parameter is None:
            self._buffers[name] = self._new_buffer(value)
        else:
            self._fill(parameter, value)

    # Ranges and scales of inputs: buffers, or parameters if they are learnt

    def _state(self, name: str) -> A | None:
        """The buffer or the parameter of this name, one of `STATE`; None if there is neither."""
        found = self._buffers.get(name)
        return self._parameters.get(name) if found is None else found

    def __setattr__(self, name: str, value: object) -> None:
        """As a module's; but what replaces a range or a scale of inputs is a buffer from the start."""
        if name not in STATE or name in self._parameters or self._is_parameter(value):
            super().__setattr__(name, value)
        else:
            self._buffers[name] = value if value is None or self._is_array(value) else self._new_buffer(value, name)

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
            raise ValueError(f"Expected `amin` of a quantiser with zero_point alone: {self._shown_name()} has none")
        self._set_buffer("_amin", value)

    @property
    def pre_quant_scale(self) -> Any:
        """Factor on every input, or None; it applies even if the quantiser is disabled (SmoothQuant)."""
        return self._state("_pre_quant_scale")

    @pre_quant_scale.setter
    def pre_quant_scale(self, value: Any) -> None:
        self._set_buffer("_pre_quant_scale", value)

    def _set_buffer(self, name: str, value: object) -> None:
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
            raise AttributeError("learn_amax is False: this quantiser has no clip.")
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
        return f"quantiser {self.name!r}" if self.name else "a quantiser without a name"

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
        self._take_range(found)

    def _load_if_seen(self, *args: Any, **kwargs: Any) -> bool:
        """`load_calib_amax` unless the calibrator has seen nothing; whether it has."""
        self._calibrator.name = self.name
        found = self._calibrator.compute_amax(*args, **kwargs)
        if found is not None:
            self._take_range(found)
        return found is not None

    def _take_range(self, found: A) -> None:
        """Takes the amax that was found, and with `zero_point` the calibrator's lower end."""
        if self._block_sizes is not None and self._block_sizes.ignores_amax:
            return  # each array has its own ranges
        if self._zero_point:
            least = self._calibrator.compute_amin()
            self._take("_amin", found if least is None else least)
        self._take("_amax", self._of_groups(found))

    def _of_groups(self, amax: A) -> A:
        """Ranges of axes 0 and 1, each replaced by the largest of its group of axis 0."""
        groups, ndim = self._channel_groups, len(amax.shape)
        if groups == 1 or ndim < 2 or amax.shape[0] % groups or not self._has_pairs(ndim):
            return amax
        in_group, rest = amax.shape[0] // groups, tuple(amax.shape[1:])
        largest = self._dynamic_amax(amax.reshape((groups, in_group, *rest)), [1])
        return largest.reshape((groups, *rest))[[index // in_group for index in range(amax.shape[0])]]

    def _has_pairs(self, ndim: int) -> bool:
        """Whether there is a range for each pair of indices of axes 0 and 1."""
        axis = self._axis
        return isinstance(axis, tuple) and {each % ndim for each in axis} == {0, 1}

    def _take(self, name: str, found: A) -> None:
        present = self._state(name)
        if present is None:
            self._register(name, found)
        else:
            self._check_fits(tuple(found.shape), tuple(present.shape))
            self._fill(present, found)
        logger.debug("Loaded calibrated %s of shape %s into %s.", name[1:], tuple(found.shape), self._shown_name())

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

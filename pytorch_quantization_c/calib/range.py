"""Calibrator that keeps minimum and maximum: for quantisers with a zero point."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import number_array
from .._core.axes import Axis, axes_to_reduce
from .._core.calibrator import both_locked, one_at_a_time
from .._core.histogram_search import check_option_names
from .calibrator import _Calibrator
from .merging import check_same

__all__ = ["RangeCalibrator"]


class RangeCalibrator(_Calibrator):
    """The range from min(x, 0) to max(x, 0) of everything collected, for each index of `axis` its own.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor; only `axis` matters here.
    """

    _takes_method = False
    _kinds = {**_Calibrator._kinds, "_low": (np.ndarray, type(None)), "_high": (np.ndarray, type(None))}

    def __init__(self, num_bits: int | tuple[int, int], axis: Axis, unsigned: bool) -> None:
        super().__init__(num_bits, axis, unsigned)
        self._low: NDArray[Any] | None = None
        self._high: NDArray[Any] | None = None

    @one_at_a_time
    def collect(self, x: Any) -> None:
        """Adds the range of `x`. A NaN is kept, and reported with the quantiser's name; an empty `x` is ignored.

        Raises:
            RuntimeError: the shape of the range differs from the batch before.
            ValueError: `x` does not have the axis; `calibrating` asks for it, and `x` holds a NaN or an infinity.
        """
        array = number_array(self._to_array(x), "input")
        reduced = axes_to_reduce(self._axis, array.shape, self._owner())
        if array.size == 0:
            return
        low, high = _ends(array, reduced)
        if self._nonfinite is not None and not (np.isfinite(low).all() and np.isfinite(high).all()):
            finite = self._only_finite(array)
            if finite is None:
                return
            low, high = _ends(finite, reduced)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            self._report_not_finite()
        self._take_in(low, high)

    def _take_in(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        if self._low is None or self._high is None:
            self._low, self._high = low.copy(), high.copy()
            return
        if self._low.shape != low.shape:
            raise RuntimeError(f"amax shape changed! Expected {self._low.shape}, got {low.shape}")
        self._low, self._high = np.asarray(np.minimum(self._low, low)), np.asarray(np.maximum(self._high, high))

    @one_at_a_time
    def reset(self) -> None:
        """Forgets the range."""
        self._low = self._high = None
        self._warned = False

    @one_at_a_time
    def compute_amax(self, method: str | None = None, **options: Any) -> Any:
        """A copy of the upper end, at least 0; None if nothing was collected. `method` and options are ignored.

        TypeError for an option that no calibrator has.
        """
        check_option_names(options)
        return None if self._high is None else self._from_array(self._high)

    @one_at_a_time
    def compute_amin(self) -> Any:
        """A copy of the lower end, at most 0; None if nothing was collected."""
        return None if self._low is None else self._from_array(self._low)

    def merge(self, other: RangeCalibrator) -> None:
        """Adds what another calibrator has collected from other data; `other` is unchanged.

        Raises:
            TypeError: `other` is not a RangeCalibrator.
            ValueError: the two are set up differently, or have a range of another shape.
        """
        if not isinstance(other, RangeCalibrator):
            raise TypeError(f"Expected `other` to be a RangeCalibrator, got {type(other).__name__}")
        with both_locked(self, other):
            check_same(self, other, ("num_bits", "axis", "unsigned"))
            if other._low is None or other._high is None:
                return
            if self._low is not None and self._low.shape != other._low.shape:
                raise ValueError(f"Expected `other` to have a range of shape {self._low.shape}, got {other._low.shape}")
            self._take_in(other._low, other._high)

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        low, high = state.get("_low"), state.get("_high")
        both = [each for each in (low, high) if each is not None]
        shapes = {each.shape for each in both}
        if len(both) == 1 or len(shapes) > 1 or not all(each.dtype.kind in "fV" for each in both):
            raise ValueError("Expected a file of a calibrator, but its range is not a pair of numbers")

    def __str__(self) -> str:
        return "RangeCalibrator()"

    def __repr__(self) -> str:
        return f"RangeCalibrator({super().__repr__()} range=[{self._low}, {self._high}])"


def _ends(array: NDArray[Any], reduced: list[int] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    axes = None if reduced is None else tuple(reduced)
    low, high = (end(array, axis=axes, keepdims=axes is not None) for end in (np.min, np.max))
    zero = array.dtype.type(0)
    return np.asarray(np.minimum(low, zero)), np.asarray(np.maximum(high, zero))

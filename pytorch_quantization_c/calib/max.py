"""Calibrator that keeps the largest absolute value."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import utils as quant_utils
from .._arrays import number_array
from .._core.axes import Axis, axes_to_reduce
from .._core.block_quant import block_amax
from .._core.blocks import checked_blocks
from .._core.calibrator import both_locked, one_at_a_time
from .._core.errors import shown
from .._core.histogram_search import check_option_names
from .calibrator import _Calibrator
from .merging import check_same

__all__ = ["MaxCalibrator"]


class MaxCalibrator(_Calibrator):
    """amax is the largest absolute value of everything collected, for each index of `axis` its own.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor; only `axis` matters here.
        track_amax: keep the amax of every batch in `amaxs`.
        block_size: None, or how many neighbours along the last axis share an amax; `axis` is then None.
    """

    #: Absent from the state of calibrators without blocks.
    _block_size: int | None = None

    _takes_method = False
    _kinds = {**_Calibrator._kinds, "_block_size": (int, type(None)), "_track_amax": (bool,), "_amaxs": (list,),
              "_calib_amax": (np.ndarray, type(None))}

    def __init__(self, num_bits: int | tuple[int, int], axis: Axis, unsigned: bool, track_amax: bool = False,
                 block_size: int | None = None) -> None:
        super().__init__(num_bits, axis, unsigned)
        if block_size is not None:
            blocks = checked_blocks({-1: block_size})
            if axis is not None or blocks is None:
                raise ValueError(f"Expected no `axis` beside `block_size`, got {shown(axis)}")
            self._block_size = blocks.size
        self._track_amax = track_amax
        self._amaxs: list[NDArray[Any]] = []
        self._calib_amax: NDArray[Any] | None = None

    @property
    def amaxs(self) -> list[NDArray[Any]]:
        """The amax of each batch as a NumPy array, with `track_amax`; `reset` keeps them."""
        if not self._track_amax:
            raise AttributeError("amaxs are kept only with track_amax=True")
        return self._amaxs

    @one_at_a_time
    def collect(self, x: Any) -> None:
        """Adds the amax of `x`. A NaN is kept, and reported with the quantiser's name; an empty `x` is ignored.

        Raises:
            RuntimeError: the shape of amax differs from the batch before.
            ValueError: `x` does not have the axis; `calibrating` asks for it, and `x` holds a NaN or an infinity.
        """
        array = number_array(self._to_array(x), "input")
        reduced = axes_to_reduce(self._axis, array.shape, self._owner())
        if array.size == 0:
            return
        local = self._local(array, reduced)
        if self._nonfinite is not None and not np.isfinite(local).all():
            finite = self._only_finite(array)
            if finite is None:
                return
            local = self._local(finite, reduced)
        before = self._largest()
        if before is not None and before.shape != local.shape:
            raise RuntimeError(f"amax shape changed! Expected {before.shape}, got {local.shape}")
        if not np.isfinite(local).all():
            self._report_not_finite()
        self._calib_amax = local if before is None else np.asarray(np.maximum(before, local))
        if self._track_amax:
            self._amaxs.append(local.copy())

    def _local(self, array: NDArray[Any], reduced: list[int] | None) -> NDArray[Any]:
        if self._block_size is not None:
            return block_amax(array, self._block_size)
        return quant_utils.reduce_amax(array, reduced)

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._amaxs = []

    def _largest(self) -> NDArray[Any] | None:
        """What was collected, as an array."""
        return self._calib_amax

    @one_at_a_time
    def reset(self) -> None:
        """Forgets the amax; `amaxs` stays."""
        self._calib_amax = None
        self._warned = False

    @one_at_a_time
    def compute_amax(self, method: str | None = None, **options: Any) -> Any:
        """A copy of the amax, in the type of what was collected; None if nothing was.

        Args:
            method: None or "max"; there is no other.
            **options: `stride`, `start_bin` and `percentile`, which are of no use here, are ignored.

        Raises:
            TypeError: any other option.
            ValueError: another method.
        """
        check_option_names(options)
        if method not in (None, "max"):
            raise ValueError(f"Expected `method` to be None or 'max' for MaxCalibrator, got {shown(method)}")
        largest = self._largest()
        return None if largest is None else self._from_array(largest)

    def merge(self, other: MaxCalibrator) -> None:
        """Adds what `other` has collected from other data; `other` is unchanged.

        Raises:
            TypeError: `other` is not a MaxCalibrator.
            ValueError: the two are set up differently, or have an amax of another shape.
        """
        if not isinstance(other, MaxCalibrator):
            raise TypeError(f"Expected `other` to be a MaxCalibrator, got {type(other).__name__}")
        with both_locked(self, other):
            self._merge(other)

    def _merge(self, other: MaxCalibrator) -> None:
        check_same(self, other, ("num_bits", "axis", "unsigned", "track_amax", "block_size"))
        mine, theirs = self._largest(), other._largest()
        if mine is not None and theirs is not None and mine.shape != theirs.shape:
            raise ValueError(f"Expected `other` to have an amax of shape {mine.shape}, got {theirs.shape}")
        if theirs is not None:
            self._calib_amax = theirs.copy() if mine is None else np.asarray(np.maximum(mine, theirs))
        if self._track_amax:
            self._amaxs.extend(amax.copy() for amax in other._amaxs)

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        found = [amax for amax in (state.get("_calib_amax"), *state.get("_amaxs", [])) if amax is not None]
        if not all(isinstance(amax, np.ndarray) and amax.dtype.kind in "fiuV" for amax in found):
            raise ValueError("Expected a file of a calibrator, but an amax in it is not an array of numbers")

    def __str__(self) -> str:
        return f"MaxCalibrator(track_amax={self._track_amax})"

    def __repr__(self) -> str:
        text = f"MaxCalibrator({super().__repr__()} calib_amax={self._calib_amax} track_amax={self._track_amax}"
        return text + (f" amaxs={self._amaxs}" if self._track_amax else "") + ")"

"""Calibrator that keeps the largest absolute value."""
# pyright: reportIncompatibleVariableOverride=false
from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ...calib import max as array_max
from .. import utils as quant_utils
from .._convert import as_array, as_tensor
from .calibrator import TensorCalibrator

__all__ = ["MaxCalibrator", "quant_utils"]


class MaxCalibrator(TensorCalibrator, array_max.MaxCalibrator):
    """amax is the largest absolute value of everything collected, for each index of `axis` its own.

    Args:
        num_bits, axis, unsigned: see QuantDescriptor; only `axis` matters here.
        track_amax: keep the amax of every batch in `amaxs`, as NumPy arrays.

    What was collected lies in a NumPy array; `_calib_amax` shows it as a tensor, on the same memory if it is the CPU's.
    """

    # Objects that were pickled by the original lack it.
    _warned = False

    @property
    def _calib_amax(self) -> Any:
        kept = self._largest()
        return None if kept is None else as_tensor(kept, None if self._device is None else torch.device(self._device))

    @_calib_amax.setter
    def _calib_amax(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self._device = None if value.is_cpu else str(value.device)
            value = as_array(value)
        vars(self)["_calib_amax"] = value

    def _largest(self) -> NDArray[Any] | None:
        kept = vars(self)["_calib_amax"]
        return as_array(kept) if isinstance(kept, Tensor) else kept

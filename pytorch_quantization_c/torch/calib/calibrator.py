"""Base class of the calibrators, for custom ones, and the mixin that makes those of the NumPy package take tensors."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._core.calibrator import _Calibrator
from .._convert import as_array, as_tensor
from .._kernels import checked

__all__ = ["TensorCalibrator", "_Calibrator"]


class TensorCalibrator(_Calibrator):
    """Before another calibrator among a class's bases: it collects tensors, and its amax is one on their device."""

    _grow_method: str | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes the original's objects, too: any way of growing but "double" is one and the same."""
        vars(self).update(state)
        if self._grow_method != "double":
            self._grow_method = None

    def _to_array(self, x: Any) -> NDArray[Any]:
        tensor = checked(x, "x")
        self._device = None if tensor.is_cpu else str(tensor.device)
        return as_array(tensor if tensor.is_floating_point() else tensor.float())

    def _from_array(self, array: NDArray[Any]) -> torch.Tensor:
        return as_tensor(np.array(array), None if self._device is None else torch.device(self._device))

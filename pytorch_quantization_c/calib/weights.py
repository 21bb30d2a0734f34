"""Calibration of weights, which needs no data."""
from __future__ import annotations

from typing import Any

import numpy as np

from .._core.models import require_front
from ..model.weight_calibration import calibrate_weights_of

__all__ = ["calibrate_weights"]


def calibrate_weights(model: Any, method: str = "percentile", perchannel: bool = True, percentile: float = 99.99,
                      num_bins: int = 2048) -> None:
    """Sets the amax of every weight quantiser in `model` from the weights themselves.

    The method is the one given here, whatever calibrators the quantisers have.

    Args:
        model: any module; layers with `weight` and `weight_quantizer` are calibrated.
        method: "max" (largest magnitude), "mse" (least squared error) or "percentile".
        perchannel: an amax for each output channel: axis 0 of the weight, 1 for transposed convolutions.
        percentile: for percentile, how many percent of the weights to keep.
        num_bins: bins of the histogram, from 0 to the largest magnitude, that mse and percentile search.

    Raises:
        TypeError: another method.
        ValueError: `percentile` out of range, NaN or infinities in a weight, fewer than 129 bins for mse.
        RuntimeError: a quantiser has an amax of another shape.
    """
    require_front(model, "numpy", "calib.calibrate_weights")
    calibrate_weights_of(model, np.asarray, method, perchannel, percentile, num_bins)

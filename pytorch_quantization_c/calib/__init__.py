"""Calibrators: they watch the arrays that pass a quantiser and find its range.

`calib.distributed` calibrates on many machines; it is imported on request, with Dask.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .histogram import HistogramCalibrator
from .max import MaxCalibrator
from .range import RangeCalibrator
from .weights import calibrate_weights

if TYPE_CHECKING:
    from .plotting import plot
    from .reporting import report

__all__ = ["HistogramCalibrator", "MaxCalibrator", "RangeCalibrator", "calibrate_weights", "plot", "report"]

_ON_REQUEST = {"plot": "plotting", "report": "reporting"}


def __getattr__(name: str) -> Any:
    if name in _ON_REQUEST:
        return getattr(import_module(f"{__name__}.{_ON_REQUEST[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_REQUEST})

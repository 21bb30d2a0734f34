"""What a metric of the user's returns."""
from __future__ import annotations

import math
from typing import Any

from .errors import is_raised_in_python, shown

__all__ = ["metric_value", "ordered_metric_value"]


def metric_value(value: Any) -> float:
    """The number; TypeError for what is none. What the object's own `__float__` raises stays as it is."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected `metric` to return a number, got {shown(value)}") from None


def ordered_metric_value(value: object) -> float:
    """As `metric_value`; ValueError for NaN, which is neither better nor worse than another."""
    found = metric_value(value)
    if math.isnan(found):
        raise ValueError("Expected `metric` to return a number, got nan")
    return found

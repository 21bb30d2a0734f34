"""The axes that a plot is drawn into, with matplotlib."""
from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "axes_or_new"]

MISSING = "Expected matplotlib to be installed: pip install 'pytorch-quantization-c[plot]'"


def axes_or_new(axes: object, width: float, height: float) -> Any:
    """The given axes; those of a new figure, in inches, if they are None. ImportError without matplotlib."""
    if axes is not None:
        return axes
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(MISSING) from None
    return plt.subplots(figsize=(width, height), layout="constrained")[1]

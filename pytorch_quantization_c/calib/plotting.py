"""Plots of what calibrators have collected, with matplotlib (the extra `plot`)."""
from __future__ import annotations

from typing import Any

from .._core.figures import MISSING
from .overview import Overview, overviews
from .reporting import percent

__all__ = ["plot"]

COLOURS = {"entropy": "#d1495b", "mse": "#2a7f62", "percentile": "#7b4fa3", "in use": "#1b1b1b"}
COLUMNS, WIDTH, HEIGHT = 2, 6.2, 3.9     # of one histogram, inches


def plot(model_or_calibrator: Any) -> Any:
    """Draws the histogram of every quantiser on a logarithmic scale, with the amax of every method marked.

    The legend says what share of the values each amax clips. Channels are drawn together; their amax is then a band
    from the least to the largest. Quantisers without a histogram are left out.

    Args:
        model_or_calibrator: a model that has collected, or one HistogramCalibrator.

    Returns:
        A matplotlib Figure, not shown and not tied to pyplot. Save it by `figure.savefig("calibration.png")`.

    Raises:
        ImportError: there is no matplotlib.
        TypeError: neither a model nor a calibrator.
        ValueError: no histogram was collected.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(MISSING) from None
    found = [each for each in overviews(model_or_calibrator) if each.counts is not None]
    if not found:
        raise ValueError("Expected a calibrator that has collected a histogram, got none")
    columns = min(COLUMNS, len(found))
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for place, each in zip(axes, found, strict=False):
        _draw(place, each)
    for place in axes[len(found):]:
        place.remove()
    return figure


def _draw(place: Any, each: Overview) -> None:
    place.stairs(each.counts, each.edges, fill=True, color="#9db4c0", linewidth=0)
    place.set_yscale("log")
    place.set_ylim(bottom=0.7)
    place.set_xlim(each.edges[0], each.edges[-1] * 1.02)
    for result in each.results:
        colour = COLOURS.get(result.method, "#555555")
        low, high = float(result.amax.min()), float(result.amax.max())
        value = f"{high:.4g}" if low == high else f"{low:.3g} to {high:.3g}"
        style = "--" if result.method == "in use" else "-"
        place.axvline(high, color=colour, linewidth=1.6, linestyle=style,
                      label=f"{result.method} {value}, clips {percent(result.clipped)}")
        if low != high:
            place.axvspan(low, high, color=colour, alpha=0.07, linewidth=0)
    channels = f", {each.channels} channels" if each.channels > 1 else ""
    place.set_title(f"{each.name}  ({each.bits}{channels})", fontsize=10, loc="left")
    place.set_xlabel("magnitude")
    place.set_ylabel("values")
    place.spines[["top", "right"]].set_visible(False)
    place.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)     # off the lines

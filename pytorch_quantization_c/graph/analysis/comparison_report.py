"""The plot and the HTML page of a comparison."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..._core.files import FilePath, write_file
from ...calib.reporting import STYLE
from ...version import __version__

MAX_DB, WIDTH = 100.0, 200     # beyond, noise is that of float32; the width of a bar in pixels
TALLEST = 60                    # rows of a picture


def drawn(rows: Sequence[Any], axes: Any = None) -> Any:
    """Draws the worst rows into matplotlib axes, or a new figure's; returns the axes."""
    shown = rows[:TALLEST]
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(figsize=(7, 1.2 + 0.24 * max(len(shown), 1)), layout="constrained")
    names = [row.quantizer for row in shown]
    for label, marker in (("alone", "o"), ("running", "x")):
        axes.plot([_finite(getattr(row, label)) for row in shown], names, marker, label=label)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("SQNR, dB")
    axes.set_title("Quantised values, the worst first")
    if shown:
        axes.legend()
    return axes


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def page(rows: Sequence[Any], outputs: Mapping[str, float], agreement: Mapping[str, float], samples: int,
         path: FilePath) -> None:
    """Writes the page."""
    body = "\n".join(map(_row, rows))
    ends = ", ".join([*(f"{escape(name)} {_decibel(value)}" for name, value in outputs.items()),
                      *(f"{escape(name)} {100 * value:.2f} % equal" for name, value in agreement.items())])
    text = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comparison</title><style>{STYLE}</style></head><body><main>
<h1>Quantised values against float</h1>
<p>{len(rows)} quantisers, {samples} batches, pytorch-quantization-c {__version__}. Outputs: {ends}. SQNR is the ratio
of the signal to the quantisation noise; alone: this quantiser on the float value; running: inside the quantised graph,
errors from before included.</p>
<table><thead><tr><th>Quantiser</th><th>How</th><th>Alone</th><th>Running</th></tr></thead><tbody>
{body}
</tbody></table></main></body></html>
"""
    write_file(path, text.encode("utf-8", "replace"))


def _row(row: Any) -> str:
    return (f'<tr><td class="name"><b>{escape(row.quantizer)}</b><span class="soft">{escape(row.value)}, read by '
            f"{escape(row.layer)}</span></td><td>{escape(row.how)}</td>"
            f"<td>{_bar('alone', row.alone)}</td><td>{_bar('running', row.running)}</td></tr>")


def _bar(title: str, value: float) -> str:
    """A bar and its value. The title is for narrow screens, where the table has no head."""
    length = WIDTH * min(max(value, 0.0), MAX_DB) / MAX_DB
    return (f'<span class="soft narrow">{title}</span><svg width="{WIDTH}" height="10" role="img" '
            f'aria-label="{_decibel(value)}"><rect class="bars" width="{length:.1f}" height="10"/></svg> '
            f"{_decibel(value)}")


def _decibel(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else "exact" if value > 0 else "no signal"

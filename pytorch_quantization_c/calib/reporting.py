"""A report on a calibration: one self-contained HTML file."""
from __future__ import annotations

import math
import warnings
from html import escape
from typing import Any

import numpy as np

from .._core.files import FilePath, write_file
from ..version import __version__
from .overview import PERCENTILE, MethodResult, Overview, overviews

__all__ = ["CLIPS_MUCH", "percent", "report"]

WIDTH, HEIGHT, FOOT = 360, 96, 14       # of a histogram, in pixels, and the room for the numbers below it
COLUMNS = 180                           # bars of a histogram
CLIPS_MUCH = 0.01                       # rows that clip more than this share are marked

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #5d6876; --line: #dfe4ea; --ground: #fff; --bars: #9db4c0;
  --best: #e6f4ee; --entropy: #d1495b; --mse: #2a7f62; --percentile: #7b4fa3; --use: #1b1b1b; }
@media (prefers-color-scheme: dark) { :root { --text: #e8ecf1; --soft: #9aa5b3; --line: #333c48; --ground: #151a21;
  --bars: #4f6672; --best: #1d3a30; --entropy: #f07f8d; --mse: #5fc39d; --percentile: #b993e0; --use: #f2f2f2; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 2rem auto;
  max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } p { color: var(--soft); margin: .2rem 0 1rem; max-width: 80ch; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; color: var(--soft); }
main > table > thead th { position: sticky; top: 0; background: var(--ground); padding: .4rem .8rem .4rem 0; }
main > table > tbody > tr { border-top: 1px solid var(--line); }
td { vertical-align: top; padding: .7rem .8rem .7rem 0; }
td.name { overflow-wrap: anywhere; min-width: 12rem; width: 30%; }
td.name b { display: block; } .soft { color: var(--soft); }
table.methods td, table.methods th { padding: .1rem .6rem .1rem .4rem; font-variant-numeric: tabular-nums;
  white-space: nowrap; } table.methods .number { text-align: right; } tr.best { background: var(--best); }
tr.much td:nth-child(3) { color: var(--entropy); font-weight: 600; }
tr.much td:nth-child(3)::before { content: "! "; }
svg { max-width: 100%; } .narrow { display: none; }
@media (max-width: 900px) {
  main > table, main > table > tbody, main > table > tbody > tr, main > table > tbody > tr > td {
  display: block; width: auto; padding: .2rem 0; } main > table > thead { display: none; }
  main > table > tbody > tr > td.name { width: auto; }
  main > table > tbody > tr { padding: .6rem 0; } .narrow { display: inline-block; width: 5rem; } }
i { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .45em; }
.bars { fill: var(--bars); } .axis { stroke: var(--line); } text { fill: var(--soft); font-size: 10px; }
"""
COLOURS = {"entropy": "var(--entropy)", "mse": "var(--mse)", "percentile": "var(--percentile)", "in use": "var(--use)"}


def report(model: Any, path: FilePath) -> None:
    """Writes a page with a row for each quantiser: histogram, and amax, clipped share and SQNR of every method.

    The page opens without a network. SQNR is the ratio of the signal to the quantisation noise, from the histogram. If
    the model has collected nothing, the page is empty and a UserWarning says so.

    Args:
        model: a model whose calibrators have collected, or one calibrator.
        path: the file to write; an existing one is replaced, as a whole or not at all.

    Raises:
        TypeError: neither a model nor a calibrator.
        ValueError: there is no quantiser with a calibrator.
    """
    found = overviews(model)
    if not found:
        raise ValueError("Expected a model with quantisers that have calibrators, got none")
    rows = "\n".join(map(_row, found))
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Calibration</title><style>{STYLE}</style></head><body><main>
<h1>Calibration</h1>
<p>{len(found)} quantisers, pytorch-quantization-c {__version__}. Histograms of magnitudes on a logarithmic scale; lines
mark the amax of each method (percentile: {PERCENTILE} %). Clipped: the share of values above amax. SQNR: signal to
quantisation noise, every value taken for the middle of its bin; the highlighted method has the most. "!" marks an
amax that clips more than 1 %.</p>
<table><thead><tr><th>Quantiser</th><th>Histogram</th><th>amax by method</th></tr></thead><tbody>
{rows}
</tbody></table></main></body></html>
"""
    write_file(path, page.encode("utf-8", "replace"))
    if not any(each.results for each in found):
        warnings.warn("No calibrator has collected anything, so the page is empty: call `calib.report` after "
                      "`with calibrating(model):`", UserWarning, stacklevel=2)


def _row(each: Overview) -> str:
    facts = [each.bits, f"{each.channels} channels" if each.channels > 1 else "per tensor", each.kind]
    notes = "" if not each.not_finite else f'<br><span class="soft">{each.not_finite:,} NaN or infinite</span>'
    if each.counts is not None:
        facts.append(f"{int(each.counts.sum()):,} values")
    return (f'<tr><td class="name"><b>{escape(each.name)}</b><span class="soft">{", ".join(facts)}</span>{notes}</td>'
            f"<td>{_picture(each)}</td><td>{_methods(each)}</td></tr>")


def _methods(each: Overview) -> str:
    if not each.results:
        return '<span class="soft">nothing collected</span>'
    lines = [_method(result, result is each.best and len(each.results) > 1) for result in each.results]
    return ('<table class="methods"><tr><th>method</th><th class="number">amax</th>'
            '<th class="number">clipped</th><th class="number">SQNR</th></tr>'
            f'{"".join(lines)}</table>')


def _method(result: MethodResult, best: bool) -> str:
    low, high = float(result.amax.min()), float(result.amax.max())
    amax = f"{high:.5g}" if low == high else f"{low:.4g} to {high:.4g}"
    sqnr = "" if math.isnan(result.sqnr) else "exact" if math.isinf(result.sqnr) else f"{result.sqnr:.1f} dB"
    mark = f'<i style="background:{COLOURS.get(result.method, "var(--bars)")}"></i>'
    numbers = "".join(f'<td class="number">{text}</td>' for text in (amax, percent(result.clipped), sqnr))
    kinds = ["best"] * best + ["much"] * (result.clipped > CLIPS_MUCH)
    return f'<tr class="{" ".join(kinds)}"><td>{mark}{escape(result.method)}</td>{numbers}</tr>'


def percent(share: float) -> str:
    """A share of values as text: two digits, never rounded up to 100 % or down to 0."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 1e-5:
        return "< 0.001 %"
    text = f"{100 * share:.2g}"
    return f"{text} %" if float(text) < 100 else "> 99 %"


def _picture(each: Overview) -> str:
    """The histogram as SVG: bars as one path, lines where the methods clip."""
    if each.counts is None:
        return '<span class="soft">no histogram</span>'
    groups = np.array_split(each.counts, min(COLUMNS, len(each.counts)))
    heights = np.log1p([group.sum() for group in groups])
    tall = HEIGHT - 6
    heights = heights / heights.max() * tall
    step = WIDTH / len(heights)
    path = f"M0 {HEIGHT}" + "".join(f"V{HEIGHT - height:.1f}h{step:.2f}" for height in heights) + f"V{HEIGHT}z"
    low, high = float(each.edges[0]), float(each.edges[-1])
    marks = "".join(_line(result, low, high) for result in each.results)
    return (f'<svg width="{WIDTH}" height="{HEIGHT + FOOT}" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" role="img" '
            f'aria-label="histogram of {escape(each.name, quote=True)}"><path class="bars" d="{path}"/>'
            f'<path class="axis" d="M0 {HEIGHT}.5H{WIDTH}"/>{marks}'
            f'<text x="0" y="{HEIGHT + 12}">{low:.3g}</text>'
            f'<text x="{WIDTH}" y="{HEIGHT + 12}" text-anchor="end">{high:.3g}</text></svg>')


def _line(result: MethodResult, low: float, high: float) -> str:
    colour = COLOURS.get(result.method, "var(--soft)")
    near, far = (min(max((float(value) - low) / (high - low), 0.0), 1.0) * (WIDTH - 2) + 1
                 for value in (result.amax.min(), result.amax.max()))
    band = "" if far - near < 1 else (f'<rect x="{near:.1f}" y="0" width="{far - near:.1f}" height="{HEIGHT}" '
                                      f'style="fill:{colour};opacity:.07"/>')
    dashes = ";stroke-dasharray:4 3" if result.method == "in use" else ""
    return f'{band}<path d="M{far:.1f} 0V{HEIGHT}" style="stroke:{colour};stroke-width:1.6{dashes}"/>'

"""The tables of bench_layers.py, and the place in docs/performance_layers.md that holds them.

The page has one section for each kind of machine, by its instruction set; a run replaces that of its own machine only.
"""
from __future__ import annotations

import re
from collections.abc import Mapping

import harness
from layer_shapes import shapes
from product_peak import Peak

BEGIN, END = "<!-- bench-layers -->", "<!-- /bench-layers -->"
SECTION = re.compile(r"^<!-- machine (\w+) -->\n(.*?)\n<!-- /machine -->$", re.M | re.S)
KINDS = {"amx": "AVX-512 with AMX", "vnni": "AVX-512 with VNNI", "avx512": "AVX-512 without VNNI",
         "avxvnni": "AVX-VNNI", "avx2": "AVX2 alone",
         "dotprod": "NEON with dot products", "neon": "NEON", "scalar": "no vectors"}
PACKAGES = ("torch", "onnxruntime", "openvino", "onednn-cpu-gomp")
Times = Mapping[str, Mapping[str, float]]


def headline(kind: str, peak: Peak | None) -> str:
    """The machine and the versions, in a line."""
    line = f"**{KINDS[kind]}** ({harness.machine(*PACKAGES)})"
    return line + (f"; peak of {peak.instruction}, one core: {peak.speed / 1e9:.0f} GOPS." if peak else ".")


def table(batch: int, threads: int, times: Times, peak: Peak | None) -> str:
    """Rows of the shapes that were timed; columns of the peers that gave a time."""
    found = [shape for shape in shapes(batch) if shape.name in times["ours"]]
    peers = [name for name in times if name != "ours" and any(shape.name in times[name] for shape in found)]
    head = ["layer", "time", "GOPS", *(["of peak"] if peak else []), *(f"{name} /" for name in peers)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for shape in found:
        ours = times["ours"][shape.name]
        speed = shape.operations(batch) / ours
        share = [f"{100 * speed / (peak.speed * threads):.0f} %"] if peak else []
        ratios = [f"{times[name][shape.name] / ours:.2f}" if shape.name in times[name] else "-" for name in peers]
        lines.append(f"| {' | '.join([shape.name, harness.duration(ours), f'{speed / 1e9:.0f}', *share, *ratios])} |")
    return "\n".join(lines)


def title(batch: int, threads: int) -> str:
    return f"Batch {batch}, {threads} thread{'s' * (threads > 1)}:"


def with_section(page: str, kind: str, text: str) -> str:
    """The page with `text` as the section of this kind of machine, the other sections as they were."""
    before, begin, rest = page.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"Expected a section between {BEGIN} and {END}")
    sections = dict(SECTION.findall(inside)) | {kind: text}
    order = [name for name in KINDS if name in sections]
    body = "\n\n".join(f"<!-- machine {name} -->\n{sections[name]}\n<!-- /machine -->" for name in order)
    introduction = SECTION.sub("", inside).strip()
    return f"{before}{BEGIN}\n{introduction}\n\n{body}\n{END}{after}"

"""`auto_quantize`: bits of weights, layer by layer, within a mean."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from .._core.descriptor import QuantDescriptor
from .._core.errors import shown
from .._core.files import FilePath
from .nodes import checked_graph
from .quantizing import quantize
from .search import (
    Decision,
    Decisions,
    as_data,
    by_size,
    checked_formats,
    is_number,
    layers_in,
    mean_bits,
    named,
    part_file,
    ranked,
    record,
)

__all__ = ["auto_quantize"]


def auto_quantize(model: ir.Model, batches: Any, effective_bits: float, *, formats: Iterable[int] = (8, 4),
                  resume: FilePath | None = None, progress: bool | None = None, **options: Any) -> ir.Model:
    """A quantised copy of the model whose weights have at most so many bits on average, spent where they matter.

    For each of the formats the model is quantised whole, and each layer's noise in the outputs is measured with that
    layer alone quantised. From the widest format on, the step is taken again and again that adds the least noise for
    each bit saved, as if noises added up, until the mean is met.

    Args:
        model: a float model, as `load` or `trace` returns it; it is left as it was.
        batches: as for `quantize`, kept until the end; all of them are run for each layer and format.
        effective_bits: mean bits of the weights of quantised layers.
        formats: bits of weights to choose from, 2 to 8; inputs have what `input` of `quantize` says.
        resume: a JSON file; beside it, one for each format is written after each layer, and the same call goes on from
            there.
        progress: a bar (with tqdm installed); None means: on a terminal.
        **options: of `quantize`, but for `weight`, `overrides`, `max_drop` and `metric`.

    Returns:
        The model; `graph.decisions` gives the table that it was decided by.

    Raises:
        ValueError: `effective_bits` below the narrowest format, bad `formats`, no data of this process; as `quantize`.
        TypeError: an argument of a wrong type.
    """
    checked_graph(model)
    if not is_number(effective_bits) or not 0 < effective_bits < math.inf:
        raise ValueError(f"Expected `effective_bits` to be a number above 0, got {shown(effective_bits)}")
    effective_bits = float(effective_bits)
    for name in ("weight", "overrides", "max_drop", "metric"):
        if name in options:
            raise TypeError(f"Expected no `{name}`: `auto_quantize` finds the formats of weights")
    kinds, data = checked_formats(formats), as_data(model, batches, "auto_quantize")
    noise: dict[str, dict[int, float]] = {}
    alone: dict[str, dict[int, float]] = {}
    sizes: dict[str, int] = {}
    for bits in kinds:
        made = quantize(model, data, weight=QuantDescriptor(bits, axis=0), progress=progress, **options)
        layers = layers_in(made)
        for row in ranked(made, data, part_file(resume, f"{bits}bits"), progress).rows:
            if row.layer in layers:
                sizes[row.layer] = layers[row.layer].size
                alone.setdefault(row.layer, {})[bits] = row.value
                noise.setdefault(row.layer, {})[bits] = 10 ** (-row.value / 10)
    chosen = by_size(noise, sizes, effective_bits)
    overrides = {named(name): {"weight": QuantDescriptor(bits, axis=0)} for name, bits in chosen.items()}
    made = quantize(model, data, weight=QuantDescriptor(kinds[0], axis=0), overrides=overrides, progress=progress,
                    **options)
    rows = sorted((Decision(name, alone[name][kinds[-1]], f"{bits} bits") for name, bits in chosen.items()),
                  key=lambda row: row.sensitivity)
    tried = (("mean bits", mean_bits(chosen, sizes)),)
    return record(made, Decisions(f"at most {effective_bits:g} bits a weight", tuple(rows), tried))

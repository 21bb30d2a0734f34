"""`auto_quantize`: formats of weights, chosen layer by layer within a budget."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from .._core.descriptor import QuantDescriptor
from .._core.files import FilePath, check_folder, part_file
from .._core.noise import noise_share
from ..methods.budget import (
    FLOAT,
    Budget,
    OverBudget,
    cheapest,
    checked_formats,
    format_name,
    given_budget,
)
from .calibration.batches import Feeds
from .calibration.batches import samples as samples_of
from .methods.method_steps import Methods
from .nodes import checked_graph
from .placement.choices import Override
from .quantizing import quantize, whole
from .search.budgets import Decision, Decisions, as_data, layers_in, multiplications, named, ranked, record
from .search.costs import Stopwatch, bits_and_products, float_copy, within_time

__all__ = ["auto_quantize"]

Costs = dict[str, dict[int, float]]


def auto_quantize(model: ir.Model, batches: Any, effective_bits: float | None = None, *,
                  macs: float | str | None = None, milliseconds: float | None = None,
                  formats: Iterable[int | str] | None = None, resume: FilePath | None = None,
                  progress: bool | None = None, **options: Any) -> ir.Model:
    """A quantised copy of the model within a budget, spent where it reduces noise most.

    For each of the formats the model is quantised whole, without "gptq" and "adaround", and each layer's noise in the
    outputs is measured with that layer alone quantised and its bias corrected. From the widest format on, the step
    that adds the least noise for what it saves is taken repeatedly, as if noises added up, until the budget is met.

    Args:
        model: a float model, as `load` or `trace` returns it; it is not changed.
        batches: as for `quantize`, kept until the end; all of them are run for each layer and format.
        effective_bits: the budget as mean bits of the weights of layers; a float one has 32.
        macs: the budget as multiplications of a call with the first sample, where one with a weight of b bits counts
            b / 32; a number, or a share of the float model's as "20%" (all of 8 bits: 25 %).
        milliseconds: the budget as the time of a compiled program for a call with the first sample, on the threads that
            `threads` allows. What the returned model's program took is measured, not predicted.
        formats: bits of weights to choose from, 2 to 8, and "float"; inputs have what `input` of `quantize` says. None:
            8 and 4, of `milliseconds` "float" and 8.
        resume: a JSON file; beside it, one for each format is written after each layer, and one of weights that "gptq"
            or "adaround" rounded; the same call resumes from there. Files of other data, weights or settings are
            refused.
        progress: a bar (with tqdm installed); None means: on a terminal.
        **options: of `quantize`, but for `weight`, `overrides`, `max_drop` and `metric`.

    Returns:
        The model; `graph.decisions` gives the table behind the decisions.

    Raises:
        ValueError: a budget below that of the narrowest formats, bad `formats`, no data of this process; as `quantize`.
        TypeError: no budget or more than one, an argument of a wrong type.
    """
    checked_graph(model)
    check_folder(resume, "resume")
    budget = given_budget(effective_bits=effective_bits, macs=macs, milliseconds=milliseconds)
    for name in ("weight", "overrides", "max_drop", "metric"):
        if name in options:
            raise TypeError(f"Expected no `{name}`: `auto_quantize` finds the formats of weights")
    kinds = checked_formats((("float", 8) if milliseconds is not None else (8, 4)) if formats is None else formats)
    data = as_data(model, batches, "auto_quantize")
    return _Search(model, data, kinds, progress, options, resume).within(budget, resume)


class _Search:
    """A model, its data, and the formats to choose from, the widest first."""

    def __init__(self, model: ir.Model, data: Sequence[Feeds], kinds: tuple[int, ...], progress: bool | None,
                 options: Mapping[str, Any], resume: FilePath | None) -> None:
        self.model, self.data, self.kinds, self.progress, self.options = model, data, kinds, progress, dict(options)
        steps = Methods.of(options.get("methods"), True)
        self.is_corrected = "bias_correction" in steps.names
        self.options["methods"] = steps.measurable
        self.whole = {bits: self._quantized(whole, bits) for bits in kinds if bits != FLOAT}
        if resume is not None and steps.take_long:
            self.options["resume"] = part_file(resume, "weights")
        self.options["methods"] = steps
        self.layers = layers_in(next(iter(self.whole.values())))
        self.first = next(iter(samples_of(model, data[0])))

    def _quantized(self, quantizing: Callable[..., ir.Model], bits: int,
                   overrides: Mapping[str, Override] | None = None) -> ir.Model:
        return quantizing(self.model, self.data, weight=QuantDescriptor(bits, axis=0), overrides=overrides,
                          progress=self.progress, **self.options)

    def _chosen(self, chosen: Mapping[str, int]) -> ir.Model:
        overrides: dict[str, Override] = {
            named(name): None if bits == FLOAT else {"weight": QuantDescriptor(bits, axis=0)}
            for name, bits in chosen.items()}
        return self._quantized(quantize, next(iter(self.whole)), overrides)

    def within(self, budget: Budget, resume: FilePath | None) -> ir.Model:
        """The model, and in its metadata the table."""
        alone = {name: {FLOAT: float("inf")} if FLOAT in self.kinds else {} for name in self.layers}
        for bits, made in self.whole.items():
            kept = part_file(resume, f"{bits}bits")
            for row in ranked(made, self.data, kept, self.progress, self.is_corrected).rows:
                if row.layer in alone:
                    alone[row.layer][bits] = row.value
        noise = {name: {bits: noise_share(value) for bits, value in found.items()} for name, found in alone.items()}
        if budget.name == "milliseconds":
            made, chosen, tried = self._by_time(noise, budget)
        else:
            costs, limit, what = self._countable(budget)
            chosen = _cheapest(noise, costs, limit, budget.name)
            made, tried = self._chosen(chosen), [(what, sum(costs[name][bits] for name, bits in chosen.items()))]
        rows = sorted((Decision(name, alone[name][self.kinds[-1]], format_name(bits)) for name, bits in chosen.items()),
                      key=lambda row: row.sensitivity)
        return record(made, Decisions(str(budget), tuple(rows), tuple(tried)))

    def _countable(self, budget: Budget) -> tuple[Costs, float, str]:
        """Costs by layer and bits, the most that they may be, and what they are."""
        if budget.name == "effective_bits":
            sizes = {name: float(layer.size) for name, layer in self.layers.items()}
            return bits_and_products(self.layers, self.kinds, sizes, sum(sizes.values())), budget.limit, "mean bits"
        counts = multiplications(next(iter(self.whole.values())), self.first)
        share = sum(counts.values()) if budget.is_share else 1.0
        unit = FLOAT * share
        return bits_and_products(self.layers, self.kinds, counts, unit), budget.limit, \
            "multiplications, as a share" if budget.is_share else "multiplications of 32 bits"

    def _by_time(self, noise: Costs, budget: Budget) -> tuple[ir.Model, dict[str, int], list[tuple[str, float]]]:
        """The first choice whose program meets the budget; each that is too slow tightens what the next may take."""
        watch = Stopwatch(self.first)
        narrowest = self.whole[self.kinds[-1]]
        whole = ({FLOAT: float_copy(narrowest)} if FLOAT in self.kinds else {}) | self.whole
        return within_time(noise, whole, list(self.layers), watch, budget.limit, self._chosen)


def _cheapest(noise: Costs, costs: Costs, limit: float, name: str) -> dict[str, int]:
    try:
        return cheapest(noise, costs, limit)
    except OverBudget as problem:
        raise ValueError(f"Expected `{name}` >= {problem.least:.6g}, that of the narrowest formats, got "
                         f"{limit:g}") from None

"""Searches on modules: formats of weights within a budget, and the fewest layers given up for an accuracy."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._core.files import FilePath, check_folder, part_file
from .._core.metrics import ordered_metric_value
from .._core.models import front_of, is_graph, require_module
from .._core.noise import noise_share
from ..model.quantizers import named_quantizers
from ..model.rollback import whole_or_not_at_all
from ..model.sensitivity import evaluating, no_grad, sensitivity
from ..model.training_mode import warn_of_training
from .budget import FLOAT, Budget, OverBudget, cheapest, check_drop, checked_formats, format_name, given_budget
from .decisions import Decision, Decisions, fewest_that_hold
from .improve import kept_batches
from .layer_rounding import WeightProblem
from .module_layers import WeightLayer, numbers, watched, weight_layers
from .order import MAX_MSE_BITS

__all__ = ["accuracy_control", "auto_quantize"]

WIDE = 8        # bits that `accuracy_control` gives before it leaves a layer float

Costs = dict[str, dict[int, float]]


def auto_quantize(model: Any, batches: Iterable[Any], effective_bits: float | None = None, *,
                  macs: float | str | None = None, milliseconds: float | None = None,
                  formats: Iterable[int | str] | None = None, resume: FilePath | None = None,
                  show_progress: bool | None = None) -> Decisions:
    """Gives each layer's weight a format, in place, within a budget spent where it reduces noise most.

        pq.replace(model)
        with pq.calibrating(model, load_amax=True):
            ...
        print(pq.auto_quantize(model, batches, 5.0))
        pq.improve(model, batches, methods=["gptq", "bias_correction"])

    For each of the formats, each layer's noise in the outputs is measured with that layer alone quantised. From the
    widest format on, the step that adds the least noise for what it saves is taken repeatedly, as if noises added
    up, until the budget is met. Weights of up to 4 bits get ranges of the least squared error, wider ones those of the
    largest magnitudes if their range was fixed.

    Args:
        model: a module with quantised layers, on NumPy or of the torch twin, calibrated or with dynamic ranges. Layers
            whose weights are shared, or in other formats than symmetric integers of 2 to 8 bits with one range, or one
            for each output channel or group, keep them and do not count.
        batches: what the model is called with: arrays, tuples of arguments or dicts of keyword arguments; iterated
            once and kept until the end.
        effective_bits: the budget as mean bits of these layers' weights; a float one has 32.
        macs: the budget as multiplications of all batches, where one with a weight of b bits counts b / 32; a number,
            or a share of the float model's as "20%" (all of 8 bits: 25 %).
        milliseconds: the budget as the time of the model as a program (`pq.compile`) for a call with the first batch,
            on the threads that `threads` allows; what the model that is left took is measured, not predicted. Modules
            on NumPy, with the extra `onnx`; of a torch module, the graph that it exports to (`graph.auto_quantize`).
        formats: bits to choose from, 2 to 8, and "float": both quantisers of such a layer are disabled. None: 8 and 4,
            of `milliseconds` "float" and 8.
        resume: a JSON file; beside it, one for each format is written after each layer, and the same call resumes from
            there. Files of other data, weights or settings are refused.
        show_progress: a bar (with tqdm installed); None means: on a terminal.

    Returns:
        The table behind the decisions. If anything raises, Ctrl-C included, the model is unchanged.

    Raises:
        ValueError: a budget below that of the narrowest formats, bad `formats`, no layer that can be treated, no batch.
        TypeError: no budget or more than one, no module, a torch module with `milliseconds`, or a graph
            (`graph.auto_quantize`).
        ImportError: `milliseconds` without the extra `onnx`.
    """
    check_folder(resume, "resume")
    budget = given_budget(effective_bits=effective_bits, macs=macs, milliseconds=milliseconds)
    kinds = checked_formats((("float", 8) if milliseconds is not None else (8, 4)) if formats is None else formats)
    layers, data = _treated(model, "auto_quantize"), kept_batches(batches)
    if milliseconds is not None:
        _check_timed(model)
    warn_of_training(model, "auto_quantize")
    with whole_or_not_at_all(model):
        alone: Costs = {layer.name: {FLOAT: math.inf} if FLOAT in kinds else {} for layer in layers}
        for bits in kinds:
            if bits != FLOAT:
                for layer in layers:
                    _set_bits(layer, bits)
                found = sensitivity(model, data, resume=part_file(resume, f"{bits}bits"), show_progress=show_progress)
                for row in found.rows:
                    if row.layer in alone:
                        alone[row.layer][bits] = row.value
        if milliseconds is not None:
            chosen, tried = _within_time(model, layers, alone, kinds, data[0], budget.limit)
        else:
            counts = {layer.name: float(layer.weight.size) for layer in layers} if macs is None else \
                _products(model, layers, data)
            chosen, spent = _within(budget, alone, counts, kinds)
            tried = [spent]
        for layer in layers:
            _set_bits(layer, chosen[layer.name])
    rows = [Decision(name, alone[name][kinds[-1]], format_name(bits)) for name, bits in chosen.items()]
    return Decisions(str(budget), tuple(sorted(rows, key=lambda row: row.sensitivity)), tuple(tried))


def accuracy_control(model: Any, batches: Iterable[Any], metric: Callable[[Any], float], max_drop: float, *,
                     resume: FilePath | None = None, show_progress: bool | None = None) -> Decisions:
    """Gives up layers, in place, the most sensitive first, until a metric is within `max_drop` of the float model's.

    Layers whose weight has fewer than 8 bits get 8, in order of their sensitivity, then layers are left float: their
    quantisers are disabled. Their number is found by doubling, then bisection; the final state was measured.

    Args:
        model, batches, resume, show_progress: as for `auto_quantize`; the batches rank the layers.
        metric: `metric(model)` gives a number, higher is better, such as the accuracy on its own data set.
        max_drop: >= 0, in units of the metric.

    Returns:
        The table behind the decisions. If anything raises, Ctrl-C included, the model is unchanged.

    Raises:
        ValueError: even with one layer quantised the metric is too low; a metric that gives NaN; as `auto_quantize`.
        TypeError: an argument of a wrong type.
    """
    check_drop(max_drop, metric)
    layers, data = _treated(model, "accuracy_control"), kept_batches(batches)
    warn_of_training(model, "accuracy_control")
    with whole_or_not_at_all(model):
        return _Control(model, layers, metric, float(max_drop)).run(
            sensitivity(model, data, resume=resume, show_progress=show_progress))


def _treated(model: Any, function: str) -> list[WeightLayer]:
    if is_graph(model):
        raise TypeError(f"Expected `model` to be a module, got a graph: graph.quantize and graph.auto_quantize do what "
                        f"{function} does")
    require_module(model)
    layers = [layer for layer in weight_layers(model) if layer.bits is not None and not layer.is_shared]
    if not layers:
        raise ValueError("Expected `model` to have weights of symmetric integers of 2 to 8 bits, got none")
    return layers


def _set_bits(layer: WeightLayer, bits: int) -> None:
    """Gives a weight a format: its bits and, where that is fixed or the bits are few, a range; or FLOAT."""
    quantizer = layer.module.weight_quantizer
    if bits == FLOAT:
        quantizer.disable()
        layer.module.input_quantizer.disable()
        return
    quantizer.num_bits = bits
    layer.reset_range()
    if bits <= MAX_MSE_BITS:
        layer.set_amax(WeightProblem(layer.weight, layer.amax(), bits, None, layer.groups).ranged().amax)


def _products(model: Any, layers: Sequence[WeightLayer], data: Sequence[Any]) -> dict[str, float]:
    """Multiplications of each layer for all batches."""
    counts = dict.fromkeys((layer.name for layer in layers), 0.0)

    def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
        answer = call()
        size = np.size(numbers(answer))
        weight = layer.weight
        counts[layer.name] += float(size if not layer.is_transposed else np.size(numbers(input))) * (
            weight.size / max(weight.shape[0] if not layer.is_transposed else _inputs(layer), 1))
        return answer

    with evaluating(model), no_grad(model), watched(list(layers), observe):
        for batch in data:
            if isinstance(batch, Mapping):
                model(**batch)
            else:
                model(*batch) if isinstance(batch, tuple) else model(batch)
    return counts


def _inputs(layer: WeightLayer) -> int:
    return int(layer.module.weight.shape[0])


def _within(budget: Budget, alone: Costs, counts: Mapping[str, float],
            kinds: Sequence[int]) -> tuple[dict[str, int], tuple[str, float]]:
    """The formats, and what they spend."""
    noise = {name: {bits: noise_share(value) for bits, value in found.items()} for name, found in alone.items()}
    counted = {name: counts[name] for name in alone}
    relative = budget.name == "effective_bits" or budget.is_share
    unit = (sum(counted.values()) if relative else 1.0) * (FLOAT if budget.name == "macs" else 1)
    costs = {name: {bits: counted[name] * bits / max(unit, 1e-30) for bits in kinds} for name in alone}
    try:
        chosen = cheapest(noise, costs, budget.limit)
    except OverBudget as problem:
        raise ValueError(f"Expected `{budget.name}` >= {problem.least:.6g}, that of the narrowest formats, got "
                         f"{budget.limit:g}") from None
    what = "mean bits" if budget.name == "effective_bits" else \
        "multiplications, as a share" if budget.is_share else "multiplications of 32 bits"
    return chosen, (what, sum(costs[name][bits] for name, bits in chosen.items()))


def _check_timed(model: Any) -> None:
    from ..graph.extra import require_extra

    if front_of(model) == "torch":
        raise TypeError("Expected `model` to be a module on NumPy with `milliseconds`, got a torch.nn.Module: export "
                        "it, and call graph.auto_quantize")
    require_extra("trace")


def _within_time(model: Any, layers: Sequence[WeightLayer], alone: Costs, kinds: Sequence[int], batch: Any,
                 limit: float) -> tuple[dict[str, int], list[tuple[str, float]]]:
    """The formats whose program is fast enough, and what was measured."""
    from ..graph.search.costs import Stopwatch, float_copy, within_time
    from ..graph.tracing import trace

    on = [quantizer for _, quantizer in named_quantizers(model) if not quantizer._disabled]

    def make(bits: Mapping[str, int]) -> Any:
        for quantizer in on:
            quantizer.enable()
        for layer in layers:
            _set_bits(layer, bits[layer.name])
        return trace(model, batch)

    with evaluating(model):
        whole = {bits: make(dict.fromkeys(alone, bits)) for bits in kinds if bits != FLOAT}
        if FLOAT in kinds:
            whole = {FLOAT: float_copy(whole[kinds[-1]])} | whole
        names = [str(value.name) for value in whole[kinds[-1]].graph.inputs]
        arrays = batch if isinstance(batch, Mapping) else batch if isinstance(batch, tuple) else (batch,)
        feeds = dict(arrays) if isinstance(arrays, Mapping) else dict(zip(names, map(np.asarray, arrays), strict=True))
        noise = {name: {bits: noise_share(value) for bits, value in found.items()} for name, found in alone.items()}
        _, chosen, tried = within_time(noise, whole, list(alone), Stopwatch(feeds), limit, make)
    return chosen, tried


class _Control:
    """The steps of `accuracy_control`: states of a model, and their metric."""

    def __init__(self, model: Any, layers: Sequence[WeightLayer], metric: Callable[[Any], float],
                 max_drop: float) -> None:
        self.model, self.metric, self.max_drop = model, metric, max_drop
        self.layers = {layer.name: layer for layer in layers}
        self.bits = {layer.name: layer.bits or WIDE for layer in layers}
        self.on = [quantizer for _, quantizer in named_quantizers(model) if not quantizer._disabled]
        self.ranges = {layer.name: _range(layer) for layer in layers}
        self.tried: list[tuple[str, float]] = []

    def run(self, ranking: Any) -> Decisions:
        """Leaves the model in the state that keeps the drop."""
        for quantizer in self.on:
            quantizer.disable()
        wanted = self._measured("float")
        names = [row.layer for row in ranking.rows if row.layer in self.layers]
        actions = [(name, WIDE) for name in names if self.bits[name] < WIDE]
        actions += [(name, FLOAT) for name in names[:-1]]
        given_up = 0

        def holds(count: int) -> bool:
            nonlocal given_up
            self._set(actions[:count])
            given_up = count
            return self._measured(f"{count} of {len(actions)} steps") >= wanted - self.max_drop

        fewest = fewest_that_hold(len(actions), holds)
        if fewest is None:
            raise ValueError(f"Expected a `max_drop` that can be met, got {self.max_drop:g}: the metric of the float "
                             f"model is {wanted:.6g}, the best that was found "
                             f"{max(value for _, value in self.tried[1:]):.6g}")
        if given_up != fewest:
            self._set(actions[:fewest])
        given = dict(actions[:fewest])
        rows = tuple(Decision(row.layer, row.value, format_name(given.get(row.layer, self.bits[row.layer])))
                     for row in ranking.rows if row.layer in self.layers)
        return Decisions(f"a drop of at most {self.max_drop:g} from {wanted:.6g}", rows, tuple(self.tried))

    def _set(self, actions: Sequence[tuple[str, int]]) -> None:
        """The state after some actions on the model as it was given."""
        for quantizer in self.on:
            quantizer.enable()
        given = dict(actions)
        for name, layer in self.layers.items():
            quantizer = layer.module.weight_quantizer
            if name in given:
                _set_bits(layer, given[name])
            elif quantizer.num_bits != self.bits[name]:
                quantizer.num_bits = self.bits[name]
                _restore(layer, self.ranges[name])

    def _measured(self, what: str) -> float:
        with evaluating(self.model):
            value = ordered_metric_value(self.metric(self.model))
        self.tried.append((what, value))
        return value


def _range(layer: WeightLayer) -> Any:
    amax = layer.module.weight_quantizer.amax
    return None if amax is None else np.array(numbers(amax))


def _restore(layer: WeightLayer, amax: Any) -> None:
    if amax is None:        # it was that of the largest magnitudes
        layer.reset_range()
    else:
        layer.module.weight_quantizer.amax = amax

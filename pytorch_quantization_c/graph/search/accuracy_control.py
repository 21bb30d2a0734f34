"""`max_drop` of `quantize`: the fewest float multiplications that keep a user's metric."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from ..._core.descriptor import QuantDescriptor
from ..._core.errors import shown
from ..._core.files import FilePath, part_file
from ..._core.noise import noise_share
from ...methods.budget import check_drop
from ...methods.decisions import Decision, Decisions, fewest_that_hold
from ...methods.order import MAX_MSE_BITS
from ...model.sensitivity import Sensitivity
from ..calibration.batches import samples as samples_of
from ..methods.halves import INPUT, WEIGHT
from ..methods.method_steps import Methods, is_in_sequence
from ..methods.sequential import SEQUENTIAL
from ..placement.choices import Override
from .budgets import (
    MAX_BITS,
    WIDE_BITS,
    Layer,
    dearest_first,
    layers_in,
    multiplications,
    named,
    ranked,
    record,
    within,
)
from .candidates import Candidates
from .finishing import HERE, TARGET, finished
from .forms import BOTH, Form, dearest_steps, override_of, wide_form
from .selection import FOUND_BY
from .trials import Trials

MethodNames = tuple[str, ...] | None
Action = tuple[str, Override]
Given = dict[str, Override]
Quantize = Callable[..., ir.Model]     # (overrides, methods, method=None, is_measured=False)

#: What is tried where the defaults miss the metric.
STRONGER = ("activation_equalization", "weight_mse", "gptq", "bias_correction")
WORTH = 0.01    # of all multiplications: a float layer with fewer stays as it is


def within_drop(model: ir.Model, data: Sequence[Any], max_drop: float, metric: Callable[[Any], float],
                quantize: Quantize, methods: MethodNames, resume: FilePath | None,
                show_progress: bool | None) -> ir.Model:
    """The quantised model, with few layers widened and few left float, whose metric is within `max_drop` of float.

    Layers of fewer than 8 bits get 8; then inputs, weights or both get 16 bits; then layers stay float. Steps are taken
    by the noise that each alone saves relative to its cost, and `fewest_that_hold` finds how many; layers become float
    only where all are not enough that leave them on integers. Then the float layers with the most multiplications are
    quantised again, one by one, while the metric holds. The returned model has been measured.
    ValueError if none meets the budget.

    Args:
        quantize: makes a model by overrides, methods, how ranges are found, and whether its layers are to be measured.
        methods: None means the defaults, then STRONGER if those miss the metric with all layers quantised. If both miss
            it, the search starts from the model whose layers, each alone, make less noise in total. Where the defaults
            have rounded weights of up to 4 bits in sequence, STRONGER rounds the others in sequence as well.
    """
    control = _Control(model, max_drop, Trials(metric, part_file(resume, "metric")), quantize)
    control.choose_methods((None, STRONGER) if methods is None else (methods,), data, resume, show_progress)
    return control.give_up(data, resume, show_progress)


class _Control:
    """Candidates, their measurements, and the fully quantised one whose layers are given up."""

    def __init__(self, model: ir.Model, max_drop: float, trials: Trials, quantize: Quantize) -> None:
        self._model, self._max_drop, self._trials, self._quantize = model, max_drop, trials, quantize
        self._tried: list[tuple[str, float]] = []
        self._wanted = self._measured("float", model)
        self._methods: MethodNames = None
        self._made, self._value = model, -math.inf      # with all layers quantised
        self._ranking: Sensitivity | None = None
        self._plains: dict[MethodNames, ir.Model] = {}
        self._candidates: Candidates | None = None
        self._wide: dict[Form, dict[str, float]] = {}

    def _measured(self, what: str, model: ir.Model) -> float:
        value = self._trials.value(model)
        self._tried.append((what, value))
        return value

    def _is_enough(self, value: float) -> bool:
        return value >= self._wanted - self._max_drop

    def choose_methods(self, ladder: Sequence[MethodNames], data: Sequence[Any], resume: FilePath | None,
                       show_progress: bool | None) -> None:
        """Takes the first methods that keep the metric with all layers quantised, else those of least noise.

        On few samples, a metric just below its target is a poor measure of the distance from float. The noise of the
        whole model does not show what remains once the few layers that make most of it are float; the sum of the noise
        of each layer alone does.
        """
        made: list[tuple[MethodNames, ir.Model]] = []
        for methods in ladder:
            if methods == STRONGER and made and is_in_sequence(self._made):
                if all(layer.weight_bits <= MAX_MSE_BITS for layer in layers_in(self._made).values()):
                    break       # all weights have been rounded by then
                methods = tuple(SEQUENTIAL if each == "gptq" else each for each in STRONGER)
            made.append((methods, self._quantize({}, methods)))
            by = f", by {', '.join(methods or ())}" if len(made) > 1 else ""
            self._methods, self._made = made[-1]
            self._value = self._measured(f"all layers quantised{by}", finished(self._made.clone()))
            if self._is_enough(self._value):
                return
        if len(made) > 1:
            rankings = [self._ranked(*each, data, part_file(resume, f"methods{number}") if number else resume,
                                     show_progress) for number, each in enumerate(made)]
            best = min(range(len(made)), key=lambda number: _noise(rankings[number]))
            (self._methods, self._made), self._ranking = made[best], rankings[best]

    def give_up(self, data: Sequence[Any], resume: FilePath | None, show_progress: bool | None) -> ir.Model:
        """Gives up layers until the metric holds; the model, with the table in its metadata."""
        layers = layers_in(self._made)
        self._prepare_candidates(data)
        ranking = self._ranking or self._ranked(self._methods, self._made, data, resume, show_progress)
        rows = [row for row in ranking.rows if row.layer in layers]
        costs = multiplications(self._made, next(iter(samples_of(self._model, data[0]))))
        values = {row.layer: row.value for row in rows}
        for operand, part in ((INPUT, "wide"), (WEIGHT, "wide_weights")):
            form = frozenset({operand})
            self._wide[form] = self._noise_if_wide(form, layers, data, part_file(resume, part), show_progress)
        names = dearest_first(values, costs)
        actions: list[Action] = [(name, layers[name].widened) for name in names if layers[name].widened]
        steps = dearest_steps(values, self._wide, costs)
        actions += [(name, layers[name].widened | override_of(form, layers[name].axis))
                    for name, form in steps if form is not None]
        wide = len(actions)
        actions += [(name, None) for name, form in steps if form is None and name != names[-1]]
        found = {0: finished(self._made.clone())}

        def holds(count: int) -> bool:
            if count == 0:
                return self._is_enough(self._value)
            given = dict(actions[:count])
            made = self._quantized(given)
            is_enough = self._is_enough(self._measured(_said(given), made))
            if is_enough:
                found.clear()
                found[count] = made
            return is_enough

        fewest = fewest_that_hold(wide, holds)
        if fewest is None:
            beyond = fewest_that_hold(len(actions) - wide, lambda count: count > 0 and holds(wide + count))
            fewest = None if beyond is None else wide + beyond
        if fewest is None:
            best = max(value for _, value in self._tried[1:])
            raise ValueError(f"Expected a `max_drop` that can be met, got {self._max_drop:g}: the metric of the float "
                             f"model is {self._wanted:.6g}, the best that was found {best:.6g} ({self._tried[-1][0]})")
        given, made = self._take_back(dict(actions[:fewest]), found[fewest], layers, names, costs)
        quick = self._quick(given)
        if quick is not None and not quick.are_direct(given):
            anew = self._quantized_anew(given)      # quicker to run
            made = anew if self._is_enough(self._measured(f"quantised anew, {_said(given)}", anew)) else made
        kinds = _formats(layers, given)
        table = tuple(Decision(row.layer, row.value, kinds[row.layer]) for row in rows)
        goal = f"a drop of at most {self._max_drop:g} from {self._wanted:.6g}"
        return record(made, Decisions(goal, table, tuple(self._tried)))

    def _take_back(self, given: Given, made: ir.Model, layers: Mapping[str, Layer], names: Sequence[str],
                   costs: Mapping[str, float]) -> tuple[Given, ir.Model]:
        """Quantises float layers again while the metric holds: those of the most multiplications, then least noise.

        If it does not hold, tries again with small layers left float instead, at most half as costly together.
        The noise of a layer alone says little about its effect on the metric, and on few samples a metric jumps from
        one layer to the next, so `fewest_that_hold` may end with large layers that do no harm.

        Args:
            given, made: what is given up, and the model.
            names: the layers in the order in which they are given up.
        """
        worth = WORTH * sum(costs.values())
        left = [name for name in reversed(names) if costs.get(name, 0) >= worth and given.get(name, {}) is None]
        for name in sorted(left, key=lambda each: -costs[each]):
            fewer = {each: override for each, override in given.items() if each != name}
            widest = self._on_integers(layers[name])
            if widest:
                fewer[name] = widest
            floats = {each for each, override in given.items() if override is None}
            instead = within(names[:-1], costs, costs[name] / 2, floats)
            for small in [[], instead] if instead else [[]]:
                trial: Given = fewer | dict.fromkeys(small, None)
                candidate = self._quantized(trial)
                what = f"{name} on integers again{', small ones float' if small else ''}, {_said(trial)}"
                if self._is_enough(self._measured(what, candidate)):
                    given, made = trial, candidate
                    break
        return given, made

    def _on_integers(self, layer: Layer) -> dict[str, QuantDescriptor | None]:
        """The override by which a layer makes the least noise without being float."""
        is_wide = any(layer.name in found for found in self._wide.values())
        return layer.widened | (override_of(BOTH, layer.axis) if is_wide else {})

    def _noise_if_wide(self, form: Form, layers: Mapping[str, Layer], data: Sequence[Any], resume: FilePath | None,
                       show_progress: bool | None) -> dict[str, float]:
        """What each layer alone makes, in dB, with operands of 16 bits: of those whose operands can be split."""
        chosen = [name for name, layer in layers.items() if layer.input_bits <= MAX_BITS >= layer.weight_bits]
        if not chosen or self._made.metadata_props.get(TARGET) != HERE:
            return {}
        if self._candidates is None:
            found = self._quantize({named(name): override_of(form, layers[name].axis) for name in chosen},
                                   self._methods, self._made.metadata_props.get(FOUND_BY), is_measured=True)
        else:
            found = self._candidates.wide(form)
        steps = Methods.of(self._methods, True)
        rows = ranked(found, data, resume, show_progress, "bias_correction" in steps.names,
                      self._made if steps.take_long and WEIGHT not in form else None).rows
        return {row.layer: row.value for row in rows if row.layer in chosen}

    def _prepare_candidates(self, data: Sequence[Any]) -> None:
        """What makes models with layers given up quickly; not where rounding a weight depends on layers before."""
        steps = Methods.of(self._methods, True)
        if not is_in_sequence(self._made):
            self._candidates = Candidates(self._plain(self._methods, self._made), self._made, data, steps.take_long,
                                          "bias_correction" in steps.names)

    def _quantized(self, given: Mapping[str, Override]) -> ir.Model:
        quick = self._quick(given)
        return self._quantized_anew(given) if quick is None else finished(quick.given(given))

    def _quick(self, given: Mapping[str, Override]) -> Candidates | None:
        """What makes the model without quantising anew; None if weights are widened or were rounded in sequence."""
        return self._candidates if all(each is None or wide_form(each) for each in given.values()) else None

    def _quantized_anew(self, given: Mapping[str, Override]) -> ir.Model:
        return finished(self._quantize({named(name): override for name, override in given.items()}, self._methods,
                                       self._made.metadata_props.get(FOUND_BY)))

    def _ranked(self, methods: MethodNames, made: ir.Model, data: Sequence[Any], resume: FilePath | None,
                show_progress: bool | None) -> Sensitivity:
        steps, plain = Methods.of(methods, True), self._plain(methods, made)
        return ranked(plain, data, resume, show_progress, "bias_correction" in steps.names,
                      made if steps.take_long else None)

    def _plain(self, methods: MethodNames, made: ir.Model) -> ir.Model:
        """The quantised model before its weights were rounded and its biases corrected."""
        steps = Methods.of(methods, True)
        if methods not in self._plains:
            self._plains[methods] = made if steps == steps.measurable else \
                self._quantize({}, methods, made.metadata_props.get(FOUND_BY), is_measured=True)
        return self._plains[methods]


def _noise(ranking: Sensitivity) -> float:
    """The noise of each layer alone, added up, relative to the signal."""
    found = sum(noise_share(row.value) for row in ranking.rows)
    return math.inf if math.isnan(found) else found


def _formats(layers: dict[str, Layer], given: dict[str, Override]) -> dict[str, str]:
    return {name: _format(layer, given[name]) if name in given else f"{layer.weight_bits} bits"
            for name, layer in layers.items()}


def _format(layer: Layer, override: Override) -> str:
    if not isinstance(override, Mapping):
        return "float"
    bits = {name: each.num_bits for name, each in override.items() if each is not None}
    inputs = f", inputs of {WIDE_BITS}" if bits.get(INPUT) == WIDE_BITS else ""
    return f"{WIDE_BITS if bits.get(WEIGHT) == WIDE_BITS else max(layer.weight_bits, MAX_BITS)} bits{inputs}"


def _said(given: Mapping[str, Override]) -> str:
    reverted = sum(override is None for override in given.values())
    return f"{len(given) - reverted} layers widened, {reverted} left float"


def checked_drop(max_drop: Any, metric: Any, resume: Any = None) -> None:
    """Checks the arguments of an accuracy budget."""
    if (max_drop is None) != (metric is None):
        raise TypeError("Expected `max_drop` and `metric` together, got one of them")
    if max_drop is None:
        if resume is not None:
            raise ValueError("Expected `resume` with `max_drop`, 'gptq' or 'adaround', whose findings it keeps, got "
                             f"{shown(resume)} without")
        return
    check_drop(max_drop, metric)

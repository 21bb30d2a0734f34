"""What each layer of a graph costs by the format of its weight: bits, multiplications, milliseconds."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from ...methods.budget import FLOAT, OverBudget, cheapest, format_name, one_quantized
from ..analysis.layer_noise import SUFFIX, with_only
from ..calibration.batches import Feeds
from ..session import Session
from .budgets import Layer

REPEATS, SECONDS = 5, 0.5       # least number of timed calls, and least time
ROUNDS = 8          # attempts, each with a smaller budget than the last

ByLayer = dict[str, float]
Costs = dict[str, dict[int, float]]


def bits_and_products(layers: Mapping[str, Layer], kinds: Sequence[int], counts: Mapping[str, float],
                      unit: float) -> dict[str, dict[int, float]]:
    """By layer and bits: the layer's count times the bits, divided by `unit`."""
    return {name: {bits: counts[name] * bits / unit for bits in kinds} for name in layers}


class Stopwatch:
    """Times of programs on one call's feeds, in milliseconds."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds

    def whole(self, model: ir.Model) -> float:
        """The shortest call of a compiled model."""
        return self._shortest(Session(model))

    def layers(self, model: ir.Model, names: Sequence[str]) -> tuple[float, ByLayer]:
        """The time of the shortest call, and each layer's share: its operation and those up to the next layer's."""
        session, known = Session(model), set(names)
        shortest = self._shortest(session)
        found, owner, rest = dict.fromkeys(names, 0.0), "", 0.0
        for row in session.profile(self.feeds):
            name = SUFFIX.sub("", row.name)
            owner = name if name in known else owner
            if owner:
                found[owner] += row.microseconds or 0.0
            else:
                rest += row.microseconds or 0.0
        total = sum(found.values()) + rest
        return shortest, {name: shortest * value / max(total, 1e-9) for name, value in found.items()}

    def _shortest(self, session: Session) -> float:
        best, count, until = math.inf, 0, time.perf_counter() + SECONDS
        while count < REPEATS or time.perf_counter() < until:
            start = time.perf_counter()
            session.run(None, self.feeds)
            best, count = min(best, time.perf_counter() - start), count + 1
        return best * 1000


def float_copy(model: ir.Model) -> ir.Model:
    """The model without quantisers."""
    return with_only(model, ())


def times_by_format(made: Mapping[int, ir.Model], names: Sequence[str],
                    watch: Stopwatch) -> tuple[Costs, float]:
    """Milliseconds by layer and bits, and the largest time that any of the models spends outside its layers.

    Args:
        made: the model with all layers in each format.
    """
    costs: Costs = {name: {} for name in names}
    rest = 0.0
    for bits, model in made.items():
        whole, parts = watch.layers(float_copy(model) if bits == FLOAT else model, names)
        for name, value in parts.items():
            costs[name][bits] = value
        rest = max(rest, whole - sum(parts.values()))
    return costs, rest


def within_time(noise: Costs, whole: Mapping[int, ir.Model], names: Sequence[str], watch: Stopwatch, limit: float,
                make: Callable[[dict[str, int]], ir.Model]) -> tuple[ir.Model, dict[str, int], list[tuple[str, float]]]:
    """The first choice whose program meets the budget; each one that is too slow lowers the budget of the next.

    Args:
        noise: by layer and bits, the power of the noise that the layer alone makes.
        whole: the model with all layers in each format, the widest first.
        limit: milliseconds. ValueError if no choice meets it.
        make: the model with a choice of formats.

    Returns:
        The model, the choice, and what was measured.
    """
    costs, rest = times_by_format(whole, names, watch)
    tried = [(f"milliseconds, all {format_name(bits)}", rest + sum(costs[name][bits] for name in costs))
             for bits in whole]
    room = limit - rest
    for _ in range(ROUNDS):
        try:
            chosen = cheapest(noise, costs, room)
        except OverBudget:      # the prediction says no: the fastest of all decides
            chosen = _fastest(noise, costs)
        made = make(chosen)
        tried.append(("milliseconds", watch.whole(made)))
        if tried[-1][1] <= limit:
            return made, chosen, tried
        if chosen == _fastest(noise, costs):
            break
        spent = sum(costs[name][bits] for name, bits in chosen.items())
        room = min(room, spent) * 0.97 - max(tried[-1][1] - limit, 0) * 0.5
    raise ValueError(f"Expected `milliseconds` >= {min(value for _, value in tried):.4g}, the fastest that was found, "
                     f"got {limit:g}")


def _fastest(noise: Costs, costs: Costs) -> dict[str, int]:
    return one_quantized(noise, {name: min(found, key=lambda bits: found[bits]) for name, found in costs.items()})

"""Searches that meet a budget: the fewest layers given up for an accuracy, and bits layer by layer for a size."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from ..._core.cluster import is_spread
from ..._core.descriptor import QuantDescriptor
from ..._core.errors import shown
from ..._core.files import FilePath
from ...methods.budget import is_number
from ...methods.decisions import Decision, Decisions
from ...model.sensitivity import Sensitivity, sensitivity
from ..analysis.layer_noise import with_only
from ..calibration.batches import Feeds, feeds_of
from ..calibration.batches import samples as samples_of
from ..interpreter.run import Interpreter
from ..methods.bias import input_quantizer, quantized_layer
from ..nodes import DOMAIN, Quantizer, quantizer
from ..placement.choices import Override

__all__ = ["Decision", "Decisions", "decisions"]

RECORD = f"{DOMAIN}.decisions"
MOST_BITS = 8
Quantize = Callable[..., ir.Model]     # (overrides, is_rounded=True)


class Layer(NamedTuple):
    """A quantised layer: its name, the bits of its weight and its input, and how many numbers its weight has.

    `axis`: of a descriptor of its weight without groups: None for one range, 0 for more; `channels`: outputs.
    """

    name: str
    weight_bits: int
    input_bits: int
    size: int
    axis: int | None
    channels: int

    @property
    def widened(self) -> dict[str, QuantDescriptor]:
        """What gives it 8 bits where it has fewer; empty where it has them everywhere."""
        found = {}
        if self.input_bits < MOST_BITS:
            found["input"] = QuantDescriptor(MOST_BITS)
        if self.weight_bits < MOST_BITS:
            found["weight"] = QuantDescriptor(MOST_BITS, axis=self.axis)
        return found


def decisions(model: ir.Model) -> Decisions | None:
    """What a search has decided by that made this model (`quantize` with `max_drop`, `auto_quantize`); None if none.

    TypeError if `model` is no graph, ValueError for metadata of another kind.
    """
    if not isinstance(model, ir.Model):
        raise TypeError(f"Expected `model` to be an onnx_ir.Model, got {type(model).__name__}")
    text = model.metadata_props.get(RECORD)
    if text is None:
        return None
    try:
        data = json.loads(text)
        rows = tuple(Decision(str(name), float(value), str(kind)) for name, value, kind in data["rows"])
        return Decisions(str(data["goal"]), rows, tuple((str(what), float(value)) for what, value in data["tried"]))
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError):
        raise ValueError("Expected metadata of a search as `quantize` writes it") from None


def record(model: ir.Model, found: Decisions) -> ir.Model:
    """The model, with the table in its metadata."""
    data = asdict(found) | {"rows": [[row.layer, str(row.sensitivity), row.format] for row in found.rows],
                            "tried": [[what, str(value)] for what, value in found.tried]}
    model.metadata_props[RECORD] = json.dumps(data)
    return model


def as_data(model: ir.Model, batches: Any, function: str) -> list[Any]:
    """Batches that can be gone through again and again."""
    if batches is None or is_spread(batches):
        raise ValueError(f"Expected `batches` of this process for {function}, got "
                         f"{'None' if batches is None else 'batches on a cluster'}")
    return list(feeds_of(model, batches))


def layers_in(model: ir.Model) -> dict[str, Layer]:
    """The quantised layers of a model by name."""
    found = {}
    for node in model.graph:
        layer = quantized_layer(node)
        source = None if layer is None else node.inputs[1].producer()  # type: ignore[union-attr]
        if layer is None or source is None:
            continue
        inputs = input_quantizer(node)
        assert inputs is not None
        weight = quantizer(source)
        found[str(node.name)] = Layer(str(node.name), _bits(weight), _bits(quantizer(inputs)), layer.weight.size,
                                      None if weight.spec.axis is None else 0, layer.channels)
    return found


def _bits(found: Quantizer) -> int:
    return found.spec.bits if isinstance(found.spec.bits, int) else MOST_BITS


def multiplications(model: ir.Model, feeds: Feeds) -> dict[str, float]:
    """The products of each quantised layer in a call with these feeds."""
    layers, found = layers_in(model), {}
    outputs = {str(node.outputs[0].name): str(node.name) for node in model.graph if node.name in layers}
    channels = {str(node.name): layers[str(node.name)].channels for node in model.graph if node.name in layers}

    def observe(name: str, array: Any) -> None:
        layer = outputs[name]
        found[layer] = float(np.size(array)) * layers[layer].size / max(channels[layer], 1)

    Interpreter(with_only(model, ())).run(feeds, [], observe, outputs)
    return found


def named(layer: str) -> str:
    """The pattern that means one node."""
    return f"re:{re.escape(layer)}\\Z"


def ranked(model: ir.Model, data: Sequence[Any], resume: FilePath | None, show_progress: bool | None) -> Sensitivity:
    """The layers by what each alone costs, in dB; of a file where it has been found before."""
    return sensitivity(model, data, resume=resume, show_progress=show_progress)


def within_drop(model: ir.Model, data: Sequence[Any], max_drop: float, metric: Callable[[Any], float],
                quantize: Quantize, is_rounding: bool, resume: FilePath | None,
                show_progress: bool | None) -> ir.Model:
    """The model with the fewest layers widened to 8 bits, then left float, whose metric is within `max_drop` of float.

    Layers are given up in the order of the noise that each alone makes for each of its multiplications, so that few of
    those are lost; how many is found by bisection, and what is returned was measured. ValueError if even one layer is
    too many.
    """
    wanted = _measured(metric, model)
    made = quantize({})
    tried = [("float", wanted), ("all layers quantised", _measured(metric, made))]
    layers = layers_in(made)
    ranking = ranked(quantize({}, is_rounded=False) if is_rounding else made, data, resume, show_progress)
    rows = [row for row in ranking.rows if row.layer in layers]
    costs = multiplications(made, next(iter(samples_of(model, data[0]))))
    names = dearest_first({row.layer: row.value for row in rows}, costs)
    actions: list[tuple[str, Override]] = [(name, layers[name].widened) for name in names if layers[name].widened]
    actions += [(name, None) for name in names[:-1]]
    low, high, best = 0, len(actions) + 1, made if tried[-1][1] >= wanted - max_drop else None
    high = 0 if best is not None else high
    while low + 1 < high:
        middle = (low + high) // 2
        candidate = quantize(dict((named(name), override) for name, override in actions[:middle]))
        value = _measured(metric, candidate)
        tried.append((_said(actions[:middle]), value))
        if value >= wanted - max_drop:
            high, best = middle, candidate
        else:
            low = middle
    if best is None:
        found = max(value for _, value in tried[1:])
        raise ValueError(f"Expected a `max_drop` that can be met, got {max_drop:g}: the metric of the float model is "
                         f"{wanted:.6g}, the best that was found {found:.6g} ({tried[-1][0]})")
    given = dict(actions[:high])
    kinds = {name: "float" if name in given and given[name] is None else
             f"{max(layers[name].weight_bits, MOST_BITS if name in given else 0)} bits" for name in names}
    table = tuple(Decision(row.layer, row.value, kinds[row.layer]) for row in rows)
    return record(best, Decisions(f"a drop of at most {max_drop:g} from {wanted:.6g}", table, tuple(tried)))


def dearest_first(sensitivity: Mapping[str, float], costs: Mapping[str, float]) -> list[str]:
    """Layers by the noise that each makes for each of its multiplications, the most first.

    Args:
        sensitivity: SQNR in dB with one layer quantised.
        costs: multiplications; of a layer that is not there, one.
    """
    return sorted(sensitivity, key=lambda layer: sensitivity[layer] + 10 * math.log10(max(costs.get(layer, 1), 1)))


def _said(actions: Sequence[tuple[str, Override]]) -> str:
    reverted = sum(override is None for _, override in actions)
    return f"{len(actions) - reverted} layers widened, {reverted} left float"


def _measured(metric: Callable[[Any], float], model: ir.Model) -> float:
    given: Any = metric(model)
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"Expected `metric` to return a number, got {shown(given)}") from None
    if math.isnan(value):
        raise ValueError("Expected `metric` to return a number, got nan")
    return value


def checked_drop(max_drop: Any, metric: Any, resume: Any = None) -> None:
    """Errors for a budget of accuracy that makes no sense."""
    if (max_drop is None) != (metric is None):
        raise TypeError("Expected `max_drop` and `metric` together, got one of them")
    if max_drop is None:
        if resume is not None:
            raise ValueError("Expected `resume` with `max_drop`, 'gptq' or 'adaround', whose findings it keeps, got "
                             f"{shown(resume)} without")
        return
    if not is_number(max_drop) or not 0 <= max_drop < math.inf:
        raise ValueError(f"Expected `max_drop` to be a number >= 0, got {shown(max_drop)}")
    if not callable(metric):
        raise TypeError(f"Expected `metric` to be callable, got {type(metric).__name__}")

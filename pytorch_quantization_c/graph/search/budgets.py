"""What searches for formats of layers share: the layers, what each costs, and the table of what was decided."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.cluster import is_spread
from ..._core.descriptor import QuantDescriptor
from ..._core.files import FilePath
from ...methods.decisions import Decision, Decisions
from ...model.sensitivity import SQNR, Sensitivity, sensitivity_of_graph
from ..analysis.layer_noise import GraphSensitivity, give_weights, weights_of, with_only
from ..calibration.batches import Feeds, feeds_of
from ..calibration.calibrating import first_samples
from ..interpreter.run import Interpreter
from ..methods.bias import give_biases, input_quantizer, mean_errors, quantized_layer
from ..methods.halves import INPUT, WEIGHT, is_low_half, wide_operands
from ..methods.method_steps import KEPT
from ..methods.rounding import float_weights
from ..nodes import DOMAIN, Quantizer, checked_graph, quantizer

__all__ = ["Decision", "Decisions", "decisions"]

RECORD = f"{DOMAIN}.decisions"
MAX_BITS, WIDE_BITS = 8, 16
OVERHEAD = 0.002    # of all multiplications: what a layer in floats costs beside its own


class Layer(NamedTuple):
    """A quantised layer: its name, the bits of its weight and its input, and how many numbers its weight has.

    An input or a weight that has been split into two of 8 bits has 16.
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
        """The override that widens it to 8 bits where it has fewer; empty if it has 8 everywhere."""
        found = {}
        if self.input_bits < MAX_BITS:
            found["input"] = QuantDescriptor(MAX_BITS)
        if self.weight_bits < MAX_BITS:
            found["weight"] = QuantDescriptor(MAX_BITS, axis=self.axis)
        return found


def decisions(model: ir.Model) -> Decisions | None:
    """What a search has decided by that made this model (`quantize` with `max_drop`, `auto_quantize`); None if none.

    TypeError if `model` is not a graph, ValueError for metadata of another kind.
    """
    text = checked_graph(model).metadata_props.get(RECORD)
    if text is None:
        return None
    try:
        data = json.loads(text)
        rows = tuple(Decision(str(name), float(value), str(kind)) for name, value, kind in data["rows"])
        return Decisions(str(data["goal"]), rows, tuple((str(what), float(value)) for what, value in data["tried"]))
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError):
        raise ValueError("Expected metadata of a search as `quantize` writes it") from None


def record(model: ir.Model, found: Decisions) -> ir.Model:
    """Stores the table in the model's metadata; returns the model."""
    data = asdict(found) | {"rows": [[row.layer, str(row.sensitivity), row.format] for row in found.rows],
                            "tried": [[what, str(value)] for what, value in found.tried]}
    model.metadata_props[RECORD] = json.dumps(data)
    return model


def as_data(model: ir.Model, batches: Any, function: str) -> list[Any]:
    """Batches that can be iterated repeatedly."""
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
        if layer is None or source is None or is_low_half(node):
            continue
        inputs = input_quantizer(node)
        assert inputs is not None
        weight = quantizer(source)
        wide = wide_operands(node)
        weight_bits, input_bits = (WIDE_BITS if operand in wide else _bits(found_in) for operand, found_in in (
            (WEIGHT, weight), (INPUT, quantizer(inputs))))
        found[str(node.name)] = Layer(str(node.name), weight_bits, input_bits, layer.weight.size,
                                      None if weight.spec.axis is None else 0, layer.channels)
    return found


def _bits(found: Quantizer) -> int:
    return found.spec.bits if isinstance(found.spec.bits, int) else MAX_BITS


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
    """A pattern that matches exactly one node."""
    return f"re:{re.escape(layer)}\\Z"


def ranked(model: ir.Model, data: Sequence[Any], resume: FilePath | None, show_progress: bool | None,
           is_corrected: bool, rounded: ir.Model | None = None) -> Sensitivity:
    """Ranks the layers by the SQNR with each alone quantised; values that `resume` already has are not measured again.

    Args:
        model: with float weights and the biases of the float model.
        is_corrected: whether each layer is measured with its bias corrected, while the others keep theirs.
        rounded: the same model with weights that methods have rounded: each layer is measured with that one, while the
            others keep their float ones.
    """
    weights = {} if rounded is None else weights_of(rounded)
    biases = corrections(model, data, weights) if is_corrected else {}

    def change(alone: ir.Model) -> None:
        give_weights(alone, weights)
        give_biases(alone, biases)

    measured = GraphSensitivity(model, data, None, change, (weights, biases))
    return sensitivity_of_graph(measured, SQNR, True, resume, show_progress)


def corrections(model: ir.Model, data: Sequence[Any], weights: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What bias correction adds to each layer's outputs, given these rounded weights instead of the model's."""
    whole = model.clone()
    give_weights(whole, weights)
    errors = mean_errors(whole, first_samples(model, data, KEPT)[0], float_weights(model) if weights else {})
    return {name: error.mean() for name, error in errors.items()}


def dearest_first(sensitivity: Mapping[str, float], costs: Mapping[str, float]) -> list[str]:
    """Sorts layers by noise divided by the cost of leaving them float, largest first.

    The cost is a layer's multiplications, plus a share of all for the conversions between integers and floats that it
    causes: without the share the smallest layers, such as those of a squeeze, would come before those that matter.

    Args:
        sensitivity: SQNR in dB with one layer quantised.
        costs: multiplications; of a layer that is not there, one.
    """
    least = overhead(costs)

    def rank(layer: str) -> float:
        return sensitivity[layer] + 10 * math.log10(costs.get(layer, 1) + least)

    return sorted(sensitivity, key=rank)


def within(names: Sequence[str], costs: Mapping[str, float], room: float, but: Collection[str]) -> list[str]:
    """The first layers, in order and without `but`, that together cost at most `room` when left float.

    One that no longer fits is passed over.
    """
    found, least = [], overhead(costs)
    for name in names:
        cost = costs.get(name, 1) + least
        if name not in but and cost <= room:
            found.append(name)
            room -= cost
    return found


def overhead(costs: Mapping[str, float]) -> float:
    """What a layer that is given up costs beside its own multiplications."""
    return max(OVERHEAD * sum(costs.values()), 1e-9)

"""Sensitivity of graphs: one layer's quantisers on at a time."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.fingerprint import fingerprint
from ..._core.metrics import metric_value
from ..._core.noise import Ratio
from ..calibration.batches import Feeds, feeds_of
from ..nodes import Quantizer, quantizers
from ..passes.editing import floats, set_constant
from ..session import Session

__all__ = ["GraphSensitivity"]

SUFFIX = re.compile(r"\.(input|weight|recurrent_weight|residual)(\.\d+)?$")


def layer_name(found: Quantizer) -> str:
    """The layer that a quantiser belongs to: its name without what it quantises."""
    return SUFFIX.sub("", found.name)


def with_only(model: ir.Model, kept: Collection[str]) -> ir.Model:
    """A copy with the quantisers of these names alone."""
    made = model.clone()
    for found in tuple(quantizers(made)):
        if found.name not in kept:
            ir.convenience.replace_all_uses_with(found.output, found.input, replace_graph_outputs=True)
            made.graph.remove(found.node, safe=True)
    return made


def weights_of(model: ir.Model) -> dict[str, NDArray[Any]]:
    """The weights that are quantised, by the names of their quantisers."""
    found = {each.name: floats(each.input) for each in quantizers(model) if each.is_weight}
    return {name: array for name, array in found.items() if array is not None}


def give_weights(model: ir.Model, weights: Mapping[str, NDArray[Any]]) -> None:
    """Puts weights into a model, by the names of their quantisers."""
    for found in tuple(quantizers(model)):
        if found.name in weights:
            set_constant(found.node, 0, weights[found.name], "rounded")


def outputs_of(model: ir.Model, data: Iterable[Feeds]) -> list[list[Any]]:
    """What a model gives for each batch."""
    session = Session(model)
    return [session.run(None, feeds) for feeds in data]


def sqnr(model: ir.Model, data: Iterable[Feeds], expected: Iterable[Sequence[Any]]) -> float:
    """The SQNR of the float outputs over all batches, in dB; infinity if there are none."""
    ratio, session = Ratio(), Session(model)
    for feeds, outputs in zip(data, expected, strict=True):
        for wanted, got in zip(outputs, session.run(None, feeds), strict=True):
            if np.asarray(wanted).dtype.kind == "f":
                ratio.add(wanted, got)
    return ratio.sqnr


class GraphSensitivity:
    """What `sensitivity` asks of a graph: its layers, a fingerprint, and the measure with one layer quantised.

    Args:
        model: a model with quantisers.
        batches: as for `graph.calibrate`; iterated once and kept. None with a `metric`.
        metric: `metric(model)` of the graph with that layer quantised alone; None means SQNR of the outputs, in dB.
        change: what is done, in place, to a copy in which one layer alone is quantised, before it is measured.
        changed_by: what that depends on, for the fingerprint.
    """

    def __init__(self, model: ir.Model, batches: Any, metric: Any,
                 change: Callable[[ir.Model], None] | None = None, changed_by: Any = ()) -> None:
        self.model, self._metric, self._change, self._changed_by = model, metric, change, changed_by
        self.layers: dict[str, list[tuple[str, Any]]] = {}
        for found in quantizers(model):
            self.layers.setdefault(layer_name(found), []).append((found.name, found))
        if not self.layers:
            raise ValueError("Expected `model` to have quantisers, got none: call graph.quantize(model, batches) first")
        if (batches is None) == (metric is None):
            raise TypeError(f"Expected `batches` or `metric`, got {'neither' if metric is None else 'both'}")
        self._feeds: list[Feeds] = [] if batches is None else list(feeds_of(model, batches))
        bare = with_only(model, ())
        self._expected = outputs_of(bare, self._feeds)
        if metric is None and not any(np.asarray(each).dtype.kind == "f" for each in self._expected[0]):
            names = ", ".join(repr(value.name) for value in model.graph.outputs)
            raise ValueError("Expected `model` to have an output of floats, whose SQNR is measured, or a `metric`, got "
                             f"{names}")
        for number, outputs in enumerate(self._expected):
            for value, output in zip(model.graph.outputs, outputs, strict=True):
                if np.asarray(output).dtype.kind == "f" and not np.isfinite(output).all():
                    raise ValueError(f"Expected finite outputs of the float model, got NaN or infinite values in "
                                     f"{value.name!r} of batch {number}")
        self.baseline = math.inf if metric is None else metric_value(metric(bare))

    def settings(self) -> str:
        """A fingerprint of how the quantisers quantise, of the weights and of the data."""
        found = [(each.name, repr(each.spec), each.amax) for each in quantizers(self.model)]
        constants = {str(name): value.const_value.numpy() for name, value in self.model.graph.initializers.items()
                     if value.const_value is not None}
        return fingerprint(found, constants, self._changed_by, self._feeds)

    def measure(self, layer: str) -> float:
        """The metric with one layer quantised."""
        alone = with_only(self.model, {name for name, _ in self.layers[layer]})
        if self._change is not None:
            self._change(alone)
        if self._metric is not None:
            return metric_value(self._metric(alone))
        return sqnr(alone, self._feeds, self._expected)

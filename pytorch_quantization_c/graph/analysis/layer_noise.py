"""Sensitivity of graphs: one layer's quantisers on at a time."""
from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir

from ..._core.errors import is_raised_in_python, shown
from ..._core.noise import Ratio
from ..calibration.batches import Feeds, feeds_of
from ..interpreter.run import Interpreter
from ..nodes import Quantizer, quantizers

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


class GraphSensitivity:
    """What `sensitivity` asks of a graph: its layers, a fingerprint, and the measure with one layer quantised.

    Args:
        model: a model with quantisers.
        batches: as for `graph.calibrate`; gone through once and kept. None with a `metric`.
        metric: `metric(model)` of the graph with that layer quantised alone; None means SQNR of the outputs, in dB.
    """

    def __init__(self, model: ir.Model, batches: Any, metric: Any) -> None:
        self.model, self._metric = model, metric
        self.layers: dict[str, list[tuple[str, Any]]] = {}
        for found in quantizers(model):
            self.layers.setdefault(layer_name(found), []).append((found.name, found))
        if not self.layers:
            raise ValueError("Expected `model` to have quantisers, got none: call graph.quantize(model, batches) first")
        if (batches is None) == (metric is None):
            raise TypeError(f"Expected `batches` or `metric`, got {'neither' if metric is None else 'both'}")
        self._feeds: list[Feeds] = [] if batches is None else list(feeds_of(model, batches))
        bare = with_only(model, ())
        self._expected = [Interpreter(bare).run(feeds) for feeds in self._feeds]
        if metric is None and not any(np.asarray(each).dtype.kind == "f" for each in self._expected[0]):
            names = ", ".join(repr(value.name) for value in model.graph.outputs)
            raise ValueError("Expected `model` to have an output of floats, whose SQNR is measured, or a `metric`, got "
                             f"{names}")
        for number, outputs in enumerate(self._expected):
            for value, output in zip(model.graph.outputs, outputs, strict=True):
                if np.asarray(output).dtype.kind == "f" and not np.isfinite(output).all():
                    raise ValueError(f"Expected finite outputs of the float model, got NaN or infinite values in "
                                     f"{value.name!r} of batch {number}")
        self.baseline = math.inf if metric is None else self._number(bare)

    def settings(self) -> str:
        """A fingerprint of how the quantisers quantise."""
        found = [(each.name, each.spec, None if each.amax is None else each.amax.tolist())
                 for each in quantizers(self.model)]
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def measure(self, layer: str) -> float:
        """The metric with one layer quantised."""
        alone = with_only(self.model, {name for name, _ in self.layers[layer]})
        return self._sqnr(alone) if self._metric is None else self._number(alone)

    def _number(self, model: ir.Model) -> float:
        value = self._metric(model)
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError) as error:
            if is_raised_in_python(error):
                raise
            raise TypeError(f"Expected `metric` to return a number, got {shown(value)}") from None

    def _sqnr(self, model: ir.Model) -> float:
        ratio, run = Ratio(), Interpreter(model)
        for feeds, expected in zip(self._feeds, self._expected, strict=True):
            for wanted, got in zip(expected, run.run(feeds), strict=True):
                if np.asarray(wanted).dtype.kind == "f":
                    ratio.add(wanted, got)
        return ratio.sqnr

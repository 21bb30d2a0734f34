"""The better of several quantised models, by the noise in their outputs."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..nodes import DOMAIN
from ..passes.editing import attribute, is_op

JUDGED = 16     # samples that decide
FOUND_BY = f"{DOMAIN}.ranges"     # in the metadata: how the ranges of a model's activations were found


class _Judged(NamedTuple):
    """A value that is compared: an output, or the input of the Softmax along `axis` that produces the output."""

    name: str
    axis: int | None


def best_of(candidates: Sequence[ir.Model], reference: ir.Model, feeds: Sequence[Feeds]) -> ir.Model:
    """The candidate with the least noise in its outputs against those of the float model `reference`.

    Compares the mean, over the outputs, of noise relative to the output's power; the first of equals wins. Where an
    output is a Softmax, its input is compared instead, minus its mean, on which a Softmax does not depend: where a
    model is confident, noise does not show in probabilities, and few samples near a decision would decide.
    """
    if len(candidates) == 1:
        return candidates[0]
    judged = list(feeds)[:JUDGED]
    run = Interpreter(reference)
    expected = [_values(reference, each, run) for each in judged]
    return min(candidates, key=lambda model: _noise(model, judged, expected))


def _judged(model: ir.Model) -> list[_Judged]:
    found = []
    for value in model.graph.outputs:
        node = value.producer()
        if node is not None and is_op(node, "Softmax", "LogSoftmax") and node.inputs[0] is not None:
            found.append(_Judged(str(node.inputs[0].name), int(attribute(node, "axis", -1))))
        else:
            found.append(_Judged(str(value.name), None))
    return found


def _values(model: ir.Model, feeds: Feeds, run: Interpreter) -> list[NDArray[Any]]:
    judged = _judged(model)
    arrays = map(np.asarray, run.run(feeds, [each.name for each in judged]))
    return [array if each.axis is None else array - array.mean(axis=each.axis, keepdims=True, dtype=np.float64)
            for each, array in zip(judged, arrays, strict=True)]


def _noise(model: ir.Model, feeds: Sequence[Feeds], expected: Sequence[Sequence[NDArray[Any]]]) -> float:
    run = Interpreter(model)
    noise = np.zeros(len(model.graph.outputs))
    signal = np.zeros(len(model.graph.outputs))
    for each, wanted in zip(feeds, expected, strict=True):
        for index, (a, b) in enumerate(zip(wanted, _values(model, each, run), strict=True)):
            if a.dtype.kind == "f":
                signal[index] += np.square(a, dtype=np.float64).sum()
                noise[index] += np.square(np.subtract(a, b, dtype=np.float64)).sum()
            elif a.dtype.kind in "iub":
                signal[index] += a.size
                noise[index] += np.count_nonzero(np.not_equal(a, b))
    counted = signal > 0
    found = float(np.mean(noise[counted] / signal[counted])) if counted.any() else 0.0
    return found if math.isfinite(found) else math.inf

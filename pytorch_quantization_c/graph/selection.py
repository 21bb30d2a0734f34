"""The better of several quantised models, by the noise in their outputs."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .batches import Feeds
from .interpreter.run import Interpreter

JUDGED = 16     # samples that decide


def best_of(candidates: Sequence[ir.Model], reference: ir.Model, feeds: Sequence[Feeds]) -> ir.Model:
    """The candidate with the least noise in its outputs against those of the float model `reference`.

    The noise of each output is taken relative to its own power, and the mean over the outputs counts. The first of
    equals wins.
    """
    if len(candidates) == 1:
        return candidates[0]
    judged = list(feeds)[:JUDGED]
    run = Interpreter(reference)
    expected = [run.run(each) for each in judged]
    return min(candidates, key=lambda model: _noise(model, judged, expected))


def _noise(model: ir.Model, feeds: Sequence[Feeds], expected: Sequence[Sequence[object]]) -> float:
    run = Interpreter(model)
    noise = np.zeros(len(model.graph.outputs))
    signal = np.zeros(len(model.graph.outputs))
    for each, wanted in zip(feeds, expected, strict=True):
        for index, (a, b) in enumerate(zip(wanted, run.run(each), strict=True)):
            array = np.asarray(a)
            if array.dtype.kind == "f":
                signal[index] += np.square(array, dtype=np.float64).sum()
                noise[index] += np.square(np.subtract(array, b, dtype=np.float64)).sum()
            elif array.dtype.kind in "iub":
                signal[index] += array.size
                noise[index] += np.count_nonzero(np.not_equal(array, b))
    counted = signal > 0
    found = float(np.mean(noise[counted] / signal[counted])) if counted.any() else 0.0
    return found if math.isfinite(found) else math.inf

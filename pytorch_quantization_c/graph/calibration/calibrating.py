"""Ranges of a graph's quantisers from data, in this process or on the workers of a Dask cluster."""
from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.cluster import is_spread
from ..nodes import checked_graph, quantizers
from .batches import Feeds, feeds_of, samples
from .collecting import Calibration, each_sample
from .distributed import collected_by_workers, first_of_workers
from .ranges import Range, checked_method

__all__ = ["calibrate", "collected", "first_samples"]


def collected(model: ir.Model, batches: Any, histograms: bool, progress: bool | None,
              keep: int = 0) -> tuple[Calibration, list[Feeds]]:
    """The values that reach the quantisers, collected, and the first `keep` samples."""
    if is_spread(batches):
        return collected_by_workers(model, batches, histograms, keep)
    calibration = Calibration(model, histograms)
    kept: list[Feeds] = []
    for feeds in each_sample(model, batches, progress):
        calibration.collect(feeds)
        if len(kept) < keep:
            kept.append(feeds)
    return calibration, kept


def first_samples(model: ir.Model, batches: Any, count: int) -> tuple[list[Feeds], Any]:
    """The first samples, and the batches, still including those samples if they can be read only once."""
    if is_spread(batches):
        return first_of_workers(model, batches, count), batches
    taken: list[Feeds] = []
    found: list[Feeds] = []
    rest = feeds_of(model, batches)
    while len(found) < count and (feeds := next(rest, None)) is not None:
        taken.append(feeds)
        found += samples(model, feeds)
    return found[:count], batches if isinstance(batches, list | tuple) else chain(taken, rest)


def calibrate(model: ir.Model, batches: Any, *, method: str = "max", percentile: float = 99.99,
              zero_point: Any = "auto", progress: bool | None = None) -> dict[str, NDArray[np.float32] | Range]:
    """The ranges of the quantisers of activations, from a pass of the float model over data.

    The model is not changed. The result does not depend on how the data are split into batches if the model treats
    each index of axis 0 independently, and memory does not grow with their number.

    Args:
        model: a model with quantisers, as `quantize` returns it; `quantize(model, None)` has dynamic ones.
        batches: arrays (one input), tuples or dicts by input name; any iterable, a DataLoader, anything with
            `get_next()`, or, to calibrate on a Dask cluster, what `quantize` accepts for that.
        method: "max", "mse", "entropy" or "percentile".
        percentile: how many percent of the values "percentile" keeps.
        zero_point: "auto" for asymmetric ranges, False for one amax.
        progress: a bar (with tqdm installed); None means: on a terminal.

    Returns:
        Amax, or (low, high), by the name of the quantiser.

    Raises:
        ValueError: no quantiser, no batch, a batch that does not fit, NaN or infinity in a value, an unknown method.
        TypeError: `model` is not a graph.
    """
    checked_graph(model)
    checked_method(method, percentile)
    if all(each.is_weight for each in quantizers(model)):
        raise ValueError("Expected `model` to have quantisers of activations, got none")
    calibration, _ = collected(model, batches, method != "max", progress)
    found: Mapping[str, Range] = calibration.ranges(method, percentile, zero_point)
    if zero_point is False:
        return {name: np.float32(max(-low, high)) for name, (low, high) in found.items()}  # type: ignore[misc]
    return dict(found)

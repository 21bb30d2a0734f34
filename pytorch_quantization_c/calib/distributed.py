"""Calibration on many machines, with Dask (the extra `dask`). docs/distributed.md is the guide.

    amaxes = calibrate(make_model, loaders, client, method="entropy")
    load_amax(model, amaxes)

Each task runs one loader's batches through a worker's own copy of the model and answers with what its calibrators have
collected; the answers are merged in a tree. A task has no side effects, so Dask may run it again, when a
worker dies, without counting a batch twice. Histograms double, so the result does not depend on the partitioning.
"""
from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import number_array
from .._core import cluster
from .._core.errors import shown
from ..model.calibrating import collecting
from ..model.quantizers import named_quantizers
from .histogram import HistogramCalibrator
from .max import MaxCalibrator

__all__ = ["calibrate", "load_amax"]

Collected = dict[str, Any]      # name of a quantiser -> its calibrator


def calibrate(model_factory: Callable[[], Any], batches: Any, client: Any = None, method: str | None = None,
              forward: Callable[[Any, Any], Any] | None = None, strict: bool = True,
              **options: Any) -> dict[str, NDArray[np.float32]]:
    """The amax of every quantiser of a model, from batches that are spread over the workers of a Dask cluster.

    The result is the same, bit for bit, for any number of workers and however the batches are partitioned.

    Args:
        model_factory: makes the model, with its weights; called once in each thread of a worker. It is sent to the
            workers, so it should not carry the weights of a large model but read them.
        batches: a dask bag (its items are batches), a dask array (its blocks along the first axis are), or an iterable
            of loaders, dask.delayed or not. A loader is an array, which is one batch, or an iterable of batches, or a
            function without arguments that returns one; it must be possible to pickle it.
        client: a distributed.Client. None means the one that is active, or if there is none the threads of this
            process.
        method: passed to calibrators other than MaxCalibrator, as "entropy", "mse", "percentile".
        forward: how a batch goes through the model, forward(model, batch); by default model(batch).
        strict: with False, quantisers that have seen nothing are left out instead of being an error.
        **options: passed on like `method`, as `percentile=99.99`.

    Worker processes of a client import the script that starts them: it makes the client below
    `if __name__ == "__main__":`, or they fail to start.

    Histogram calibrators are switched to grow_method="double"; numbers of bins are rounded up to powers of two. NaN and
    infinities are left out and reported in the worker's log.

    Returns:
        A dictionary from the full names of the quantisers to float32 arrays; see `load_amax`.

    Raises:
        ImportError: there is no Dask.
        ValueError: there are no batches, or no quantisers that could be calibrated.
        TypeError: `model_factory` makes no model; a calibrator that cannot be merged; an option that is not known.
        RuntimeError: a quantiser has seen nothing.
    """
    _check_factory(model_factory)
    token = uuid.uuid4().hex
    collect = cluster.delayed(_collect)
    parts = [collect(model_factory, loader, token, forward) for loader in cluster.loaders_of(batches)]
    if not parts:
        raise ValueError("Expected `batches` to hold at least one loader, got none")
    try:
        collected = cluster.compute(cluster.merged(parts, _merge), client)
    finally:
        cluster.forget(token)
    return _amaxes(collected, method, options, strict)


def load_amax(model: Any, amaxes: Mapping[str, Any], strict: bool = True) -> None:
    """Gives the quantisers of `model` the amax found by `calibrate`, whatever amax they have.

    Args:
        model: any module with quantisers.
        amaxes: full names of quantisers, and arrays.
        strict: with False, names that the model does not have are left out.

    Raises:
        TypeError: `amaxes` is not a mapping, or an amax holds no numbers; the model is unchanged then.
        ValueError: the model lacks one of the names, or an amax is negative; the model is unchanged then.
    """
    if not isinstance(amaxes, Mapping):
        raise TypeError(f"Expected `amaxes` to map names to arrays, got {type(amaxes).__name__}")
    quantizers = dict(named_quantizers(model))
    unknown = [name for name in amaxes if name not in quantizers]
    if strict and unknown:
        raise ValueError(f"Expected names of quantisers of the model, got {shown(unknown)}")
    known = {name: number_array(amax, name).astype(np.float32) for name, amax in amaxes.items() if name in quantizers}
    for name, amax in known.items():
        if (amax < 0).any():
            raise ValueError(f"Expected an amax >= 0 for {name}, got {amax.min()}")
    for name, amax in known.items():
        quantizers[name]._buffers.pop("_amax", None)
        quantizers[name].amax = amax


def _check_factory(model_factory: Any) -> None:
    """TypeError unless it can be called to make a model."""
    if hasattr(model_factory, "named_modules") and not isinstance(model_factory, type):
        raise TypeError("Expected `model_factory` to be a function that makes the model, got the "
                        f"{_kind(model_factory)} itself: write one that makes it and reads its weights")
    if not callable(model_factory):
        raise TypeError(f"Expected `model_factory` to be a function that makes the model, got {_kind(model_factory)}")


def _kind(value: Any) -> str:
    return type(value).__name__


def _model(model_factory: Callable[[], Any]) -> Any:
    """A thread's own model."""
    model = model_factory()
    if not hasattr(model, "named_modules"):
        raise TypeError(f"Expected `model_factory` to return a model, got {_kind(model)}")
    for name, quantizer in named_quantizers(model):
        quantizer._calibrator = _mergeable(name, quantizer._calibrator)
    return model


def _mergeable(name: str, calibrator: Any) -> Any:
    if isinstance(calibrator, HistogramCalibrator):
        doubles = copy.copy(calibrator)
        bins = max(2, 1 << (calibrator._num_bins - 1).bit_length())
        doubles._grow_method, doubles._num_bins = "double", bins
        doubles._first_bins = None
        return doubles
    if calibrator is not None and not hasattr(calibrator, "merge"):
        raise TypeError(f"Expected the calibrator of {name} to have `merge`, got {type(calibrator).__name__}")
    return calibrator


def _collect(model_factory: Callable[[], Any], loader: Any, token: str,
             forward: Callable[[Any, Any], Any] | None) -> Collected:
    model = cluster.own(token, partial(_model, model_factory))
    quantizers = list(named_quantizers(model))
    with collecting(model, nonfinite="ignore"):
        for batch in cluster.opened(loader):
            model(batch) if forward is None else forward(model, batch)
    return {name: copy.deepcopy(quantizer._calibrator) for name, quantizer in quantizers
            if quantizer._calibrator is not None and not quantizer._disabled}


def _merge(parts: list[Collected]) -> Collected:
    merged = {name: copy.deepcopy(calibrator) for name, calibrator in parts[0].items()}
    for part in parts[1:]:
        for name, calibrator in part.items():
            merged[name].merge(calibrator)
    return merged


def _amaxes(collected: Collected, method: str | None, options: dict[str, Any],
            strict: bool) -> dict[str, NDArray[np.float32]]:
    found, unseen = {}, []
    given = options if method is None else {"method": method, **options}
    for name, calibrator in collected.items():
        amax = calibrator.compute_amax(**({} if isinstance(calibrator, MaxCalibrator) else given))
        if amax is None:
            unseen.append(name)
        else:
            found[name] = np.asarray(amax, np.float32)
    if strict and unseen:
        raise RuntimeError(f"Expected batches for every quantiser, but {', '.join(unseen)} have seen nothing")
    return found

"""Calibration of a graph on the workers of a Dask cluster: the bits of one process, however batches are partitioned.

Each task runs one partition's batches through its worker's own copy of the float model, and answers with what reached
the quantisers; the answers are merged in a tree.
"""
from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import onnx
import onnx_ir as ir

from ..._core import cluster
from .batches import NO_BATCH, SEQUENCE, Feeds, inputs_of, is_sequence, numbered, samples
from .collecting import Calibration
from .collectors import Collector

WARNING = "distributed.admin.large-graph-warning-threshold"     # the model goes to the workers, not to a user's file


class Collected(NamedTuple):
    """The collectors of some partitions by group, and how many samples they have seen."""

    seen: int
    collectors: dict[str, Collector]


def collected_by_workers(model: ir.Model, batches: Any, histograms: bool, keep: int) -> tuple[Calibration, list[Feeds]]:
    """What reaches the quantisers, and the first `keep` samples, for which the first partitions are read twice.

    Args:
        model: a model with quantisers; workers get it as bytes.
        batches: a dask collection, or loaders; see `cluster.loaders_of`.
        histograms: whether a method needs more than the ends of the values.
        keep: how many samples come to this process.

    Raises:
        ValueError: no batch; what a worker raises for a batch that does not fit, or for NaN and infinity.
    """
    loaders, token = cluster.loaders_of(batches), uuid.uuid4().hex
    if not loaders:
        raise ValueError(NO_BATCH)
    calibration = Calibration(model, histograms)
    data, collect = cluster.delayed(_bytes)(_written(model)), cluster.delayed(_collect)
    parts = [collect(data, loader, number, token, histograms) for number, loader in enumerate(loaders)]
    try:
        with cluster.dask().config.set({WARNING: "2GiB"}):
            found = cluster.compute(cluster.merged(parts, _merge))
    finally:
        cluster.forget(token)
    if not found.seen:
        raise ValueError(NO_BATCH)
    calibration.collectors = found.collectors
    return calibration, _first(model, loaders, keep)


def _bytes(data: bytes) -> bytes:
    """The model as a task of its own, so that other tasks refer to it instead of each carrying it."""
    return data


def _written(model: ir.Model) -> bytes:
    """The model with all its weights, wherever they lie."""
    data: bytes = ir.to_proto(ir.external_data.load_to_model(model.clone())).SerializeToString()
    return data


def _read(data: bytes) -> ir.Model:
    return ir.from_proto(onnx.load_model_from_string(data))


def _cut(model: ir.Model, loader: Any, number: int) -> Iterator[Feeds]:
    for feeds in numbered(model, cluster.opened(loader), f" of partition {number}"):
        yield from samples(model, feeds)


def _collect(data: bytes, loader: Any, number: int, token: str, histograms: bool) -> Collected:
    """Runs a partition. The thread's own calibration serves all of its tasks, each with new collectors."""
    calibration = cluster.own(token, partial(_calibration, data, histograms))
    calibration.collectors = calibration.blank()
    seen = 0
    for feeds in _cut(calibration.model, loader, number):
        calibration.collect(feeds)
        seen += 1
    return Collected(seen, calibration.collectors)


def _calibration(data: bytes, histograms: bool) -> Calibration:
    return Calibration(_read(data), histograms)


def _merge(parts: list[Collected]) -> Collected:
    """Makes new collectors: Dask may run this again on the same parts."""
    collectors = {}
    for group, first in parts[0].collectors.items():
        collectors[group] = Collector(first.positive is not None)
        for part in parts:
            collectors[group].merge(part.collectors[group])
    return Collected(sum(part.seen for part in parts), collectors)


def first_of_workers(model: ir.Model, batches: Any, keep: int) -> list[Feeds]:
    """The first samples. ValueError if there is no batch."""
    found = _first(model, cluster.loaders_of(batches), keep)
    if not found:
        raise ValueError(NO_BATCH)
    return found


def _first(model: ir.Model, loaders: list[Any], keep: int) -> list[Feeds]:
    """The first samples of all partitions, in their order."""
    kept: list[Feeds] = []
    take, data = cluster.delayed(_take), _written(_inputs_alone(model))
    for number, loader in enumerate(loaders):
        if len(kept) >= keep:
            break
        kept += cluster.compute(take(data, loader, number, keep - len(kept)))
    return kept


def _take(data: bytes, loader: Any, number: int, count: int) -> list[Feeds]:
    return list(islice(_cut(_read(data), loader, number), count))


def _inputs_alone(model: ir.Model) -> ir.Model:
    """A model without nodes that describes its batches."""
    inputs = [ir.Value(name=value.name, shape=value.shape, type=value.type) for value in inputs_of(model)]
    alone = ir.Model(ir.Graph(inputs, [], nodes=[], opset_imports=dict(model.opset_imports), name=model.graph.name),
                     ir_version=model.ir_version)
    if is_sequence(model):
        alone.metadata_props[SEQUENCE] = "true"
    return alone

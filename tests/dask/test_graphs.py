"""Graphs calibrated on workers: the bits of one process, however the batches are partitioned."""
from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Any

import dask
import dask.array
import dask.bag
import numpy as np
import onnx_ir as ir
import pytest
from distributed import Client, LocalCluster

from pytorch_quantization_c import graph
from pytorch_quantization_c._core import cluster

from .graphs import COUNT, batch, named, recurrent, residual, steps, two_inputs

METHODS = ("max", "mse", "entropy", "percentile")


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["threads", "one worker", "two workers"])
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    if not request.param:
        yield 0
        return
    with dask.config.set({"distributed.worker.daemon": False, "logging.distributed": "error"}), \
            LocalCluster(n_workers=request.param, threads_per_worker=1, dashboard_address=None,
                         silence_logs=logging.CRITICAL) as cluster, Client(cluster):
        yield request.param


@functools.cache
def alone(method: str) -> Any:
    return graph.calibrate(graph.quantize(residual(), None), map(batch, range(COUNT)), method=method)


def written(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


@pytest.mark.parametrize("method", METHODS)
def test_ranges_are_those_of_one_process(workers: int, method: str) -> None:
    model = graph.quantize(residual(), None)
    for partitions in (1, 5, COUNT):
        bag = dask.bag.from_sequence(range(COUNT), npartitions=partitions).map(batch)
        assert graph.calibrate(model, bag, method=method) == alone(method)
    loaders = [dask.delayed(batch)(0), [batch(1), batch(2)], dask.delayed(list)(map(batch, range(3, COUNT)))]
    assert graph.calibrate(model, loaders, method=method) == alone(method)
    assert not cluster._owned      # no model outlives its calibration


@pytest.mark.parametrize("count", [4, 2 * COUNT], ids=["fewer samples than are kept", "more"])
def test_quantize_makes_the_model_of_one_process(workers: int, count: int) -> None:
    """Whole files are equal: ranges, the choice between two methods, and biases corrected on the first samples."""
    bag = dask.bag.from_sequence(range(count), npartitions=4).map(batch)
    wanted = graph.quantize(residual(), map(batch, range(count)))
    assert written(graph.quantize(residual(), bag)) == written(wanted)


def test_blocks_of_an_array(workers: int) -> None:
    x = np.concatenate([batch(number) for number in range(COUNT)])
    model = graph.quantize(residual(), None)
    blocks = dask.array.from_array(x, chunks=(11, 2, 16, 7))
    assert graph.calibrate(model, blocks, method="mse") == alone("mse")


def test_empty_partitions(workers: int) -> None:
    model = graph.quantize(residual(), None)
    bag = dask.bag.from_sequence(range(COUNT), npartitions=6)
    some = bag.filter(lambda number: 7 <= number < 9).map(batch)
    assert graph.calibrate(model, some) == graph.calibrate(model, [batch(7), batch(8)])
    for nothing in (bag.filter(lambda number: False).map(batch), [dask.delayed([])]):
        with pytest.raises(ValueError, match="at least one batch"):
            graph.quantize(residual(), nothing)


def test_batches_by_name_and_an_error_in_a_worker(workers: int) -> None:
    model = graph.quantize(two_inputs(), None)
    good = [dask.delayed(named)(number) for number in range(4)]
    assert graph.calibrate(model, good) == graph.calibrate(model, map(named, range(4)))
    bad = dask.bag.from_sequence(range(4), npartitions=2).map(named, bad=3)
    with pytest.raises(ValueError, match=r"1 NaN and 0 infinite values in 'b' \(output of node 'sqrt1', a Sqrt\)"):
        graph.quantize(two_inputs(), bad)
    with pytest.raises(ValueError, match=r"input 'x' of batch 1 of partition 1 of shape .*got \[2, 3\]"):
        graph.calibrate(model, [good[0], [named(1), {"x": np.ones((2, 3)), "z": np.ones((2, 3))}], good[1]])


def test_time_is_not_cut(workers: int) -> None:
    """Ranges and corrected biases are those of whole sequences."""
    model, sequences = recurrent(), [dask.delayed(steps)(number) for number in range(3)]
    whole = graph.calibrate(graph.quantize(model, None), map(steps, range(3)))
    assert graph.calibrate(graph.quantize(model, None), sequences) == whole
    made, alone = (graph.quantize(model, batches) for batches in (sequences, list(map(steps, range(3)))))
    np.testing.assert_array_equal(graph.interpret(made, steps(5))[0], graph.interpret(alone, steps(5))[0])


def test_a_large_model_is_no_reason_to_warn(workers: int) -> None:
    model = graph.quantize(residual(), None)
    bag = dask.bag.from_sequence(range(COUNT), npartitions=2).map(batch)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1B"}):
        assert graph.calibrate(model, bag) == alone("max")

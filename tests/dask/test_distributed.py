"""Calibration on real worker processes: the same amax, bit for bit, as from one pass over the data."""
from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dask
import dask.bag
import pytest
from distributed import Client, LocalCluster

from pytorch_quantization_c.calib.distributed import calibrate

from .expect import COUNT, OPTIONS, check, loaders
from .models import Killer, Net, batch


@pytest.fixture(scope="module", params=[1, 2, 4])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with dask.config.set({"distributed.worker.daemon": False, "logging.distributed": "error"}), \
            LocalCluster(n_workers=request.param, threads_per_worker=1, dashboard_address=None,
                         silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
        yield client


def test_any_partitioning(client: Client) -> None:
    for size in (1, 7, COUNT):
        check(calibrate(Net, loaders(size), client, **OPTIONS))
    check(calibrate(Net, dask.bag.from_sequence(range(COUNT), npartitions=5).map(batch), **OPTIONS))


def test_a_worker_that_dies(client: Client, tmp_path: Path) -> None:
    parts = loaders(6)
    parts[1] = Killer(parts[1].numbers, tmp_path / "died")
    check(calibrate(Net, parts, client, **OPTIONS))
    assert (tmp_path / "died").exists()

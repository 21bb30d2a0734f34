"""Calibration without a cluster: the threads of this process, every kind of loader, and what is refused."""
from __future__ import annotations

import functools
from typing import Any

import dask
import dask.array
import numpy as np
import pytest

from pytorch_quantization_c._core import cluster
from pytorch_quantization_c.calib.distributed import calibrate, load_amax

from .expect import COUNT, OPTIONS, check, everything, loaders
from .models import Loader, Net, batch


def test_every_kind_of_loader() -> None:
    check(calibrate(Net, loaders(5), **OPTIONS))
    check(calibrate(Net, [functools.partial(Loader, range(10)), dask.delayed(Loader)(range(10, 20)),
                          [batch(20), batch(21)], batch(22), dask.delayed(batch)(23)], **OPTIONS))
    x, later = everything()
    blocks = dask.array.from_array(x, chunks=(11, 2, 13))
    found = calibrate(Net, blocks, **OPTIONS)
    check(found)
    check(calibrate(Net, [(x,)], forward=lambda model, item: model(item), **OPTIONS))
    net = Net()
    net.largest.amax = np.float32(1)
    load_amax(net, found)
    assert net.largest.amax.shape == (1, 3, 1)
    np.testing.assert_array_equal(net.largest.amax, np.abs(later).max((0, 2), keepdims=True))
    np.testing.assert_array_equal(net.first.amax, found["first"])
    assert net.off.amax is None
    assert not cluster._owned      # no model outlives its calibration


def test_other_methods_agree_with_one_machine() -> None:
    x, later = everything()
    for method in ("entropy", "mse", None):
        found = calibrate(Net, loaders(3), method=method)
        other = calibrate(Net, loaders(COUNT), method=method)
        assert all((found[name] == other[name]).all() for name in found)
        assert 0 < found["first"] <= 2 * np.abs(x).max()


def test_refusals() -> None:
    for call, error, message in (
            (lambda: calibrate(Net, []), ValueError, "`batches`"),
            (lambda: calibrate(Net, 3), TypeError, "`batches`"),
            (lambda: calibrate(Net, np.ones((3, 3, 1), np.float32)), TypeError, "`batches`"),
            (lambda: calibrate(Net, [[]]), RuntimeError, "first, channels, largest have seen nothing"),
            (lambda: calibrate(Net, loaders(8), method="max"), TypeError, "Unknown calibration method"),
            (lambda: calibrate(Net, loaders(8), methods="mse"), TypeError, "methods"),
            (lambda: load_amax(Net(), {"nobody": 1.0}), ValueError, "nobody"),
            (lambda: load_amax(Net(), {"first": -1.0}), ValueError, "first")):
        with pytest.raises(error, match=message):
            call()
    assert calibrate(Net, [[]], strict=False) == {}
    net = Net()
    load_amax(net, {"nobody": 1.0, "first": 2.0}, strict=False)
    assert net.first.amax == 2


class Strange:
    """A calibrator that cannot be merged."""


def strange() -> Net:
    net = Net()
    net.first._calibrator = Strange()
    return net


def test_a_calibrator_without_merge() -> None:
    with pytest.raises(TypeError, match="first to have `merge`, got Strange"):
        calibrate(strange, loaders(8))


@pytest.mark.parametrize(("factory", "message"), [
    (Net(), "to be a function that makes the model, got the Net itself"),
    (3, "to be a function that makes the model, got int"),
    (dict, "to return a model, got dict"), (lambda: None, "to return a model, got NoneType")],
    ids=["model", "number", "other class", "nothing"])
def test_a_factory_that_makes_no_model(factory: Any, message: str) -> None:
    with pytest.raises(TypeError, match="Expected `model_factory` " + message):
        calibrate(factory, loaders(8))

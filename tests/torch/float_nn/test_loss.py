"""Losses against torch's."""
import numpy as np
import pytest
import torch

from .compare import assert_close, error_of, kind_of, ours, theirs, to_torch

REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [((6, 4), (6,)), ((4,), ()), ((3, 4, 2, 5), (3, 2, 5))]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["MSELoss", "L1Loss"])
def test_differences(name, reduction, rng):
    x, y = rng.normal(size=(2, 5, 3)).astype(np.float32)
    our, their = getattr(ours, name)(reduction=reduction), getattr(theirs, name)(reduction=reduction)
    assert repr(our) == repr(their)
    assert_close(our(x, y), their(to_torch(x), to_torch(y)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape, target_shape", SHAPES)
@pytest.mark.parametrize("name, options", [("NLLLoss", {}), ("NLLLoss", {"ignore_index": 1}), ("CrossEntropyLoss", {}),
                                           ("CrossEntropyLoss", {"ignore_index": 1}),
                                           ("CrossEntropyLoss", {"label_smoothing": 0.2})], ids=str)
def test_classes(name, options, shape, target_shape, weighted, reduction, rng):
    x, target = rng.normal(size=shape).astype(np.float32), rng.choice([0, 2, 3], target_shape)
    weight = rng.random(4).astype(np.float32) if weighted else None
    our = getattr(ours, name)(weight, reduction=reduction, **options)
    their = getattr(theirs, name)(None if weight is None else to_torch(weight), reduction=reduction, **options)
    assert repr(our) == repr(their) and list(our.state_dict()) == list(their.state_dict())
    assert_close(our(x, target), their(to_torch(x), torch.as_tensor(target)))
    if options and target_shape:
        target[0] = options.get("ignore_index", 0)
        assert_close(our(x, target), their(to_torch(x), torch.as_tensor(target)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 4), (4,), (3, 4, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_probabilities(shape, reduction, smoothing, rng):
    x, target, weight = (rng.random(size).astype(np.float32) for size in (shape, shape, 4))
    for given in (None, weight):
        our = ours.CrossEntropyLoss(given, reduction=reduction, label_smoothing=smoothing)
        their = theirs.CrossEntropyLoss(None if given is None else to_torch(given), reduction=reduction,
                                        label_smoothing=smoothing)
        assert_close(our(x, target), their(to_torch(x), to_torch(target)))


def test_old_flags(rng):
    x, y = rng.normal(size=(2, 5)).astype(np.float32)
    for flags, name in (({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"reduce": True}, "mean")):
        np.testing.assert_array_equal(ours.functional.mse_loss(x, y, **flags),
                                      ours.functional.mse_loss(x, y, reduction=name))


@pytest.mark.parametrize("call", [
    lambda F, to: F.cross_entropy(to(np.zeros((2, 3), np.float32)), to(np.array([0, 3]))),
    lambda F, to: F.cross_entropy(to(np.zeros((2, 3), np.float32)), to(np.array([0]))),
    lambda F, to: F.cross_entropy(to(np.zeros((2, 3), np.float32)), to(np.array([0.0, 1.0]))),
    lambda F, to: F.nll_loss(to(np.zeros((2, 3), np.float32)), to(np.array([0, 1])), reduction="bad"),
    lambda F, to: F.nll_loss(to(np.zeros((2, 3), np.float32)), to(np.array([0, -1]))),
    lambda F, to: F.nll_loss(to(np.zeros((2, 3), np.float32)), to(np.array([0, 1])), to(np.ones(2, np.float32)))])
def test_same_errors(call):
    wanted = error_of(lambda: call(theirs.functional, to_torch))
    assert isinstance(error_of(lambda: call(ours.functional, lambda array: array)), kind_of(wanted))

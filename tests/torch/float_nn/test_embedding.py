"""Embedding against torch's: text, state, rows, options, errors."""
import numpy as np
import pytest
import torch

from .compare import assert_close, error_of, ours, theirs, to_torch

OPTIONS = [{}, {"padding_idx": -2}, {"padding_idx": 3, "max_norm": 1.5}, {"max_norm": 1.0, "norm_type": 1.0},
           {"scale_grad_by_freq": True, "sparse": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_same_rows(options, rng):
    our, their = ours.Embedding(7, 5, **options), theirs.Embedding(7, 5, **options)
    assert repr(our) == repr(their) and our.padding_idx == their.padding_idx
    if our.padding_idx is not None:
        assert not our.weight[our.padding_idx].any()
    their.load_state_dict({key: to_torch(value) for key, value in our.state_dict().items()})
    for shape in ((), (4,), (2, 3), (0,)):
        x = rng.integers(0, 7, shape)
        assert_close(our(x), their(torch.as_tensor(x)))


def test_from_pretrained(rng):
    table = rng.normal(size=(4, 3)).astype(np.float32)
    our, their = ours.Embedding.from_pretrained(table), theirs.Embedding.from_pretrained(to_torch(table))
    assert repr(our) == repr(their) and our.weight.requires_grad is their.weight.requires_grad is False
    assert_close(our(np.array([3, 0])), their(torch.tensor([3, 0])))


@pytest.mark.parametrize("index", [np.array([7]), np.array([-1]), np.array([0.5])], ids=str)
def test_same_errors(index):
    wanted = error_of(lambda: theirs.Embedding(7, 5)(to_torch(index)))
    assert isinstance(error_of(lambda: ours.Embedding(7, 5)(index)), type(wanted)) and wanted is not None


def test_bad_arguments(rng):
    for error, make in ((ValueError, lambda: ours.Embedding(7, 5, padding_idx=7)),
                        (ValueError, lambda: ours.Embedding(7, 5, _weight=np.ones((5, 7)))),
                        (ValueError, lambda: ours.Embedding.from_pretrained(np.ones(3)))):
        with pytest.raises(error):
            make()

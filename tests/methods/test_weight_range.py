"""Ranges of weights by the least squared error, against every range of a fine row of them."""
from __future__ import annotations

import numpy as np
import pytest

from pytorch_quantization_c import methods, tensor_quant


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_no_other_range_is_much_better(rng: np.random.Generator, bits: int) -> None:
    weight = rng.standard_normal((5, 300)).astype(np.float32)
    weight[0, 7], weight[1] = 30, 0
    amax = methods.weight_range(weight, num_bits=bits)
    assert amax.dtype == np.float32 and amax.shape == (5,) and amax[1] == 0

    def errors(ends: np.ndarray) -> np.ndarray:
        return np.square(tensor_quant.fake_tensor_quant(weight, ends[:, None], bits) - weight).sum(1)

    most = np.abs(weight).max(1)
    shares = np.linspace(0.1, 1, 400)
    best = np.min([errors((most * share).astype(np.float32)) for share in shares], axis=0)
    assert (errors(amax) <= best * 1.02).all() and (errors(amax) <= errors(most)).all()
    inputs = np.diag(rng.uniform(0, 3, 300))        # that do not correlate
    squares = np.square(inputs).mean(0)

    def weighted(ends: np.ndarray) -> np.ndarray:
        return (np.square(tensor_quant.fake_tensor_quant(weight, ends[:, None], bits) - weight) * squares).sum(1)

    amax = methods.weight_range(weight, inputs, num_bits=bits)
    least = np.min([weighted((most * share).astype(np.float32)) for share in shares], axis=0)
    assert (weighted(amax) <= least * 1.06).all()


def test_groups_are_rows_of_their_own(rng: np.random.Generator) -> None:
    weight = rng.standard_normal((3, 32))
    got = methods.weight_range(weight, group_size=8, num_bits=3)
    assert got.shape == (3, 4)
    np.testing.assert_array_equal(got.ravel(), methods.weight_range(weight.reshape(12, 8), num_bits=3))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_empty_weights(shape: tuple[int, int]) -> None:
    assert methods.weight_range(np.zeros(shape, np.float32)).tolist() == [0.0] * shape[0]


def test_bad_arguments() -> None:
    weight = np.ones((2, 6), np.float32)
    for arguments, kind, message in (({"num_bits": 1}, ValueError, "`num_bits`"),
                                     ({"group_size": 4}, ValueError, "`group_size`.*divides the 6 columns")):
        with pytest.raises(kind, match=message):
            methods.weight_range(weight, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected finite `weight`"):
        methods.weight_range(weight * np.inf)

"""Ranges by the error of the outputs, against a literal search with fake quantisation and products of floats."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods
from pytorch_quantization_c.methods.layer_rounding import WeightProblem
from pytorch_quantization_c.methods.output_range import SHARES
from pytorch_quantization_c.tensor_quant import fake_tensor_quant

from .correlated import layer as correlated

Array = Any


def off(weight: Array, amax: Array, bits: int) -> Array:
    return fake_tensor_quant(weight, amax, bits).astype(np.float64) - weight


def literal(weight: Array, x: Array, bits: int, size: int, sweeps: int) -> Array:
    """Group after group, the range out of 66 that adds least to the squared error of the outputs."""
    rows, groups = len(weight), weight.shape[1] // size
    split = weight.reshape(rows, groups, size)
    x = x.astype(np.float64).reshape(len(x), groups, size)
    centre = np.array([[best_for_weights(split[row, group], np.square(x[:, group]).mean(0), bits)
                        for group in range(groups)] for row in range(rows)])
    found = np.abs(split).max(2)
    for row in range(rows):
        for group in range(groups * sweeps):
            at = group % groups
            others = sum((x[:, each] @ off(split[row, each], found[row, each], bits) for each in range(groups)
                          if each != at), np.zeros(len(x)))
            tried = [found[row, at], *(np.float32(centre[row, at] * share) for share in (1.0, *SHARES))]
            errors = [np.square(others + x[:, at] @ off(split[row, at], amax, bits)).sum() for amax in tried]
            found[row, at] = tried[int(np.argmin(errors))]
    return found


def best_for_weights(row: Array, squares: Array, bits: int) -> float:
    """The range that would be best if inputs did not correlate."""
    problem = WeightProblem(row[None], np.abs(row[None]).max(1), bits, np.diag(squares)[None])
    return float(problem.ranged(is_final=False).amax[0])


@pytest.mark.parametrize("bits, size, sweeps", [(4, 24, 1), (3, 8, 2), (2, 24, 1)])
def test_the_literal_search(rng: np.random.Generator, bits: int, size: int, sweeps: int) -> None:
    weight, mixing = rng.standard_normal((5, 24)).astype(np.float32), rng.standard_normal((24, 24))
    weight[3] = 0
    x = (rng.standard_normal((60, 24)) @ mixing).astype(np.float32)
    got = methods.weight_range(weight, x, num_bits=bits, group_size=size)
    np.testing.assert_allclose(got, literal(weight, x, bits, size, sweeps), rtol=1e-6)


@pytest.mark.parametrize("size", [None, 16])
def test_outputs_are_better_than_by_weights_alone(rng: np.random.Generator, size: int | None) -> None:
    weight, x, others = correlated(rng, rows=400)
    columns = size or weight.shape[1]

    def error(amax: Array, inputs: Array) -> Array:
        wide = np.repeat(amax.reshape(len(weight), -1), columns, axis=1)
        return np.square(inputs.astype(np.float64) @ off(weight, wide, 4).T).sum(0)

    plain = np.abs(weight.reshape(-1, columns)).max(1)
    by_weights = methods.weight_range(weight, num_bits=4, group_size=size)
    by_outputs = methods.weight_range(weight, x, num_bits=4, group_size=size)
    assert (error(by_outputs, x) <= error(plain, x) * (1 + 1e-9)).all()
    assert error(by_outputs, others).sum() < 0.7 * min(error(plain, others).sum(), error(by_weights, others).sum())


@pytest.mark.parametrize("groups", [1, 4])
def test_one_range_for_all_and_groups_of_channels(rng: np.random.Generator, groups: int) -> None:
    """Weights of convolutions: (8, 16 / groups, 3), the second moment of each group's windows."""
    weight = rng.standard_normal((8, 16 // groups, 3)).astype(np.float32)
    columns = 48 // groups
    x = rng.standard_normal((groups, 90, columns)) @ rng.standard_normal((groups, columns, columns))
    moment = x.transpose(0, 2, 1) @ x / 90
    rows = weight.reshape(groups, -1, columns)

    def error(amax: Array) -> Array:
        wide = np.broadcast_to(np.reshape(amax, (-1, 1, 1)), weight.shape)
        return np.square(off(weight, wide, 4).reshape(rows.shape) @ x.transpose(0, 2, 1)).sum(2).ravel()

    whole = WeightProblem(weight, np.asarray(np.abs(weight).max()), 4, moment, groups).ranged()
    assert whole.amax.shape == () and error(whole.amax).sum() == pytest.approx(
        min(error(np.float32(np.abs(weight).max() * share)).sum() for share in np.linspace(0.4, 1.3, 400)), rel=0.05)
    assert whole.after >= whole.before
    each = WeightProblem(weight, np.abs(weight).reshape(8, -1).max(1), 4, moment, groups).ranged()
    for row in range(8):
        part, inputs = rows.reshape(8, columns)[row], x[row // (8 // groups)]
        assert each.amax[row] == pytest.approx(methods.weight_range(part[None], inputs, num_bits=4)[0], rel=1e-6)


def test_a_range_that_was_there_is_never_made_worse(rng: np.random.Generator) -> None:
    weight, x, _ = correlated(rng, rows=200)
    moment = (x.T.astype(np.float64) @ x)[None] / len(x)
    first = WeightProblem(weight, np.abs(weight).max(1) * np.float32(0.77), 4, moment).ranged()
    again = WeightProblem(weight, first.amax, 4, moment).ranged()
    assert first.after > first.before and again.after >= again.before == pytest.approx(first.after)

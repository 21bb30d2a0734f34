"""GPTQ against the paper's algorithm 1, written column by column with inverses of whole matrices."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods, tensor_quant
from pytorch_quantization_c.methods.gptq import rounded
from tests.methods.correlated import Array, error, layer


def paper(weight: Array, inputs: Array, bits: int, group: int | None, act_order: bool, damping: float) -> Array:
    """Algorithm 1 of Frantar et al. with the options of the authors' program; ranges of groups known beforehand."""
    w, x = weight.astype(np.float64), inputs.astype(np.float64)
    bound, columns = 2 ** (bits - 1) - 1, w.shape[1]
    h = x.T @ x
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    h += damping * np.mean(np.diag(h)) * np.eye(columns)
    size = group or columns
    order = np.argsort(-np.diag(h), kind="stable") if act_order else np.arange(columns)
    upper = np.linalg.cholesky(np.linalg.inv(h[order][:, order])).T
    quantised = np.zeros_like(w)
    for i, column in enumerate(order):
        amax = np.abs(weight[:, column // size * size:(column // size + 1) * size]).max(1).astype(np.float32)
        scale = (np.float32(bound) / amax).astype(np.float64)
        quantised[:, column] = np.clip(np.rint(w[:, column] * scale), -bound, bound) / scale
        e = (w[:, column] - quantised[:, column]) / upper[i, i]
        for j in range(i, columns):
            w[:, order[j]] -= e * upper[i, j]
    return quantised.astype(np.float32)


@pytest.mark.parametrize("bits, group, act_order, damping", [
    (4, None, True, 0.01), (4, None, False, 0.01), (3, 16, True, 0.05), (8, 32, False, 0.001)])
def test_it_is_the_papers_algorithm(rng: np.random.Generator, bits: int, group: int | None, act_order: bool,
                                    damping: float) -> None:
    """All codes are the same; a value may differ by the rounding of the division to float32."""
    weight, inputs, _ = layer(rng, columns=160)
    inputs[:, 5] = 0
    got = methods.gptq(weight, inputs, num_bits=bits, group_size=group, act_order=act_order, damping=damping)
    np.testing.assert_allclose(got, paper(weight, inputs, bits, group, act_order, damping), rtol=2e-7)


def test_without_correlation_it_is_rounding_to_nearest(rng: np.random.Generator) -> None:
    weight = rng.standard_normal((5, 8)).astype(np.float32)
    expected = tensor_quant.fake_tensor_quant(weight, np.abs(weight).max(1, keepdims=True), 4)
    np.testing.assert_array_equal(methods.gptq(weight, np.eye(8, dtype=np.float32)), expected)


@pytest.mark.parametrize("group", [None, 16])
def test_held_out_outputs_are_much_nearer(rng: np.random.Generator, group: int | None) -> None:
    weight, inputs, others = layer(rng)
    amax = np.abs(weight.reshape(24, -1, group or 64)).max(-1)
    nearest = tensor_quant.fake_tensor_quant(weight, np.repeat(amax, group or 64, 1), 4)
    got = methods.gptq(weight, inputs, group_size=group)
    assert error(got, weight, others) < 0.5 * error(nearest, weight, others)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fake_quantisation_leaves_the_result_alone(rng: np.random.Generator, dtype: Any) -> None:
    weight, inputs, _ = layer(rng, 6, 32, 64)
    amax = (0.8 * np.abs(weight).max(1)).astype(dtype)
    amax[3] = 0
    got = methods.gptq(weight.astype(dtype), inputs.astype(dtype), amax=amax)
    assert got.dtype == dtype and not got[3].any()
    np.testing.assert_array_equal(tensor_quant.fake_tensor_quant(got, amax[:, None], 4), got)


def test_outputs_of_the_float_layer_as_the_target(rng: np.random.Generator) -> None:
    """Inputs that are quantised already: the least-squares weight makes up for part of their error."""
    weight, inputs, others = layer(rng)
    scale = 0.7 + 0.3 * rng.random(64)
    quantised, wanted = (inputs * scale).astype(np.float32), others.astype(np.float64) @ weight.T
    plain, matched = (methods.gptq(weight, quantised, num_bits=8, float_inputs=given) for given in (None, inputs))
    off = [np.square((others * scale) @ each.T.astype(np.float64) - wanted).sum() for each in (plain, matched)]
    assert off[1] < 0.02 * off[0]
    h = quantised.T.astype(np.float64) @ quantised
    ridge = 0.01 * np.trace(h) / 64 * np.eye(64)
    target = weight @ (quantised.T.astype(np.float64) @ inputs + ridge).T @ np.linalg.inv(h + ridge)
    amax = np.abs(weight).max(1, keepdims=True)
    step = amax / 127
    assert np.abs(np.clip(target, -amax, amax) - matched).mean() < 3 * step.mean()


def test_a_target_from_inputs_of_low_rank_needs_no_damping(rng: np.random.Generator) -> None:
    weight, inputs, _ = layer(rng, rows=20)
    found = methods.gptq(weight, inputs, num_bits=8, damping=0, float_inputs=inputs)
    assert error(found, weight, inputs) < 1e-3 * float(np.square(inputs @ weight.T).sum())


def test_weights_of_groups_at_once_are_each_by_itself(rng: np.random.Generator) -> None:
    weight, inputs = rng.standard_normal((7, 3, 9)), rng.standard_normal((7, 40, 9))
    moment = inputs.transpose(0, 2, 1) @ inputs
    scale = np.repeat(7 / np.abs(weight).max(2, keepdims=True), 9, 2)
    together = rounded(weight, moment, scale, 7, True, 0.01)
    for each in range(7):
        alone = rounded(weight[each:each + 1], moment[each:each + 1], scale[each:each + 1], 7, True, 0.01)
        np.testing.assert_array_equal(together[each], alone[0])


def test_empty_and_zero_weights() -> None:
    for shape in ((0, 4), (3, 0), (2, 4)):
        got = methods.gptq(np.zeros(shape, np.float32), np.ones((1, shape[1]), np.float32))
        assert got.shape == shape and not got.any()


W, X = np.ones((3, 8), np.float32), np.ones((5, 8), np.float32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"weight": np.ones(8, np.float32)}, ValueError, r"Expected `weight` of shape \(out, in\), got \(8,\)"),
    ({"weight": np.full((3, 8), np.nan, np.float32)}, ValueError, "Expected finite `weight`"),
    ({"weight": np.ones((3, 8), int)}, TypeError, "`weight`.*int64"),
    ({"inputs": np.ones((5, 7), np.float32)}, ValueError, r"`inputs` of shape \(rows, in\).*got \(5, 7\)"),
    ({"inputs": np.ones((0, 8), np.float32)}, ValueError, "at least one row"),
    ({"inputs": np.full((5, 8), np.inf, np.float32)}, ValueError, "Expected finite `inputs`"),
    ({"inputs": np.ones((5, 8), complex)}, TypeError, "`inputs`"),
    ({"num_bits": 1}, ValueError, "`num_bits` to be an integer from 2 to 8, got 1"),
    ({"num_bits": 9}, ValueError, "`num_bits`"), ({"num_bits": 4.0}, TypeError, "`num_bits`"),
    ({"group_size": 3}, ValueError, "`group_size` >= 1 that divides the 8 columns of `weight`, got 3"),
    ({"group_size": 0}, ValueError, "`group_size`"), ({"group_size": "4"}, TypeError, "`group_size`"),
    ({"amax": np.ones((3, 2), np.float32)}, ValueError, r"`amax` of shape \(3,\), got \(3, 2\)"),
    ({"amax": -np.ones(3, np.float32)}, ValueError, "`amax` >= 0"),
    ({"amax": np.full(3, np.nan, np.float32)}, ValueError, "finite `amax`"),
]


@pytest.mark.parametrize("arguments, kind, message", [
    *BAD, ({"damping": -1}, ValueError, "`damping` to be finite and >= 0, got -1"),
    ({"damping": float("nan")}, ValueError, "`damping`"), ({"damping": "1"}, TypeError, "`damping`"),
    ({"float_inputs": X[:4]}, ValueError, r"`float_inputs` of shape \(5, 8\)")])
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        methods.gptq(**{"weight": W, "inputs": X} | arguments)

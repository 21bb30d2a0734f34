"""AdaRound against the paper's loss, its gradient by torch-free central differences and Adam written out."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods, tensor_quant
from pytorch_quantization_c.methods.adaround import Rounding
from tests.methods.correlated import Array, error, layer
from tests.methods.test_gptq import BAD, W, X


def stretched(v: Array) -> Array:
    return np.clip(1.2 / (1 + np.exp(-v)) - 0.1, 0, 1)


def loss(v: Array, weight: Array, inputs: Array, step: Array, strength: Array, beta: float | None) -> float:
    """Equation 21 of Nagel et al., with a lambda for each row; without its second term if `beta` is None."""
    soft = step * np.clip(np.floor(weight / step) + stretched(v), -7, 7)
    off = np.square((soft - weight) @ inputs.T).sum(1)
    pull = 0 if beta is None else (1 - np.abs(2 * stretched(v) - 1) ** beta).sum(1)
    return float((off / strength + pull).sum())


def slope(v: Array, *arguments: Any) -> Array:
    found = np.zeros_like(v)
    for at in np.ndindex(v.shape):
        moved = np.zeros_like(v)
        moved[at] = 1e-6
        found[at] = (loss(v + moved, *arguments) - loss(v - moved, *arguments)) / 2e-6
    return found


def paper(weight: Array, inputs: Array, steps: int, rate: float) -> Array:
    w, x = weight.astype(np.float64), inputs.astype(np.float64)
    step = 1 / (np.float32(7) / np.abs(weight).max(1, keepdims=True)).astype(np.float64)
    near = np.clip(np.rint(w / step), -7, 7) * step
    strength = np.square((near - w) @ x.T).sum(1) / w.shape[1]
    share = (w / step - np.floor(w / step) + 0.1) / 1.2
    v, m, u = np.log(share / (1 - share)), 0.0, 0.0
    for t in range(steps):
        done = (t - 0.2 * steps) / (0.8 * steps)
        beta = None if done < 0 else 2 + 9 * (1 + np.cos(np.pi * done))
        g = slope(v, w, x, step, strength, beta)
        m, u = 0.9 * m + 0.1 * g, 0.999 * u + 0.001 * g * g
        v = v - rate * m / (1 - 0.9 ** (t + 1)) / (np.sqrt(u / (1 - 0.999 ** (t + 1))) + 1e-8)
    return np.asarray(np.clip(np.floor(w / step) + (v >= 0), -7, 7) * step, np.float32)


def test_it_is_the_papers_method(rng: np.random.Generator) -> None:
    """All weights are rounded to the same side, many of them not to the nearest."""
    weight, inputs, _ = layer(rng, 4, 16, 64)
    expected = paper(weight, inputs, 50, 0.1)
    got = methods.adaround(weight, inputs, iterations=50, learning_rate=0.1)
    np.testing.assert_allclose(got, expected, rtol=2e-7)
    nearest = tensor_quant.fake_tensor_quant(weight, np.abs(weight).max(1, keepdims=True), 4)
    assert np.count_nonzero(got != nearest) >= 5


def test_held_out_outputs_are_much_nearer(rng: np.random.Generator) -> None:
    weight, inputs, others = layer(rng)
    nearest = tensor_quant.fake_tensor_quant(weight, np.abs(weight).max(1, keepdims=True), 4)
    got = methods.adaround(weight, inputs, iterations=400)
    assert error(got, weight, others) < 0.5 * error(nearest, weight, others)
    steps = np.abs(weight).max(1, keepdims=True) / 7
    assert (np.abs(got - weight) <= steps * 1.0001).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fake_quantisation_leaves_the_result_alone(rng: np.random.Generator, dtype: Any) -> None:
    weight, inputs, _ = layer(rng, 6, 32, 64)
    amax = (0.8 * np.abs(weight.reshape(6, 2, 16)).max(2)).astype(dtype)
    amax[3] = 0
    got = methods.adaround(weight.astype(dtype), inputs.astype(dtype), amax=amax, group_size=16, iterations=20)
    assert got.dtype == dtype and not got[3].any()
    np.testing.assert_array_equal(tensor_quant.fake_tensor_quant(got, np.repeat(amax, 16, 1), 4), got)


def test_no_steps_and_no_inputs_round_to_nearest(rng: np.random.Generator) -> None:
    weight, inputs, _ = layer(rng, 6, 32, 64)
    nearest = tensor_quant.fake_tensor_quant(weight, np.abs(weight).max(1, keepdims=True), 4)
    np.testing.assert_array_equal(methods.adaround(weight, inputs, iterations=0), nearest)
    np.testing.assert_array_equal(methods.adaround(weight, np.zeros_like(inputs), iterations=20), nearest)


def test_weights_of_groups_at_once_are_each_by_itself(rng: np.random.Generator) -> None:
    weight, inputs = rng.standard_normal((5, 3, 9)), rng.standard_normal((5, 40, 9))
    moment = inputs.transpose(0, 2, 1) @ inputs
    scale = np.repeat(7 / np.abs(weight).max(2, keepdims=True), 9, 2)

    def learnt(chosen: slice) -> Array:
        found = Rounding(weight[chosen], moment[chosen], scale[chosen], 7, 1.0)
        for number in range(30):
            found.step(number, 30, 0.1)
        return found.codes()

    together = learnt(slice(None))
    for each in range(5):
        np.testing.assert_array_equal(together[each], learnt(slice(each, each + 1))[0])


@pytest.mark.parametrize("arguments, kind, message", [
    *BAD, ({"iterations": -1}, ValueError, "`iterations` from 0"), ({"iterations": 2.5}, TypeError, "`iterations`"),
    ({"learning_rate": -0.1}, ValueError, "`learning_rate`"),
    ({"regularization": float("inf")}, ValueError, "`regularization`")])
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        methods.adaround(**{"weight": W, "inputs": X} | arguments)

"""Inputs that methods do not like: an answer on the grid that is no worse than rounding to nearest, or an error."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import methods, tensor_quant
from tests.methods.correlated import error

Array = Any
ROUNDING: dict[str, Callable[..., Any]] = {
    "gptq": lambda w, x: methods.gptq(w, x), "undamped": lambda w, x: methods.gptq(w, x, damping=0),
    "adaround": lambda w, x: methods.adaround(w, x, iterations=50)}
SCALING: dict[str, Callable[..., Any]] = {"smoothquant": methods.smoothquant, "awq": methods.awq}
OTHER: dict[str, Callable[..., Any]] = {"weight_range": methods.weight_range}


def inputs(rng: np.random.Generator) -> dict[str, Array]:
    """Rows of 16 inputs that are dependent, constant, zero, very large or very small."""
    x = rng.standard_normal((40, 16)).astype(np.float32)
    return {"one row": x[:1], "rank 1": np.outer(x[:, 0], x[0]).astype(np.float32), "constant": np.full_like(x, 3),
            "zeros": np.zeros_like(x), "equal columns": np.repeat(x[:, :1], 16, 1), "large": x * np.float32(1e30),
            "small": x * np.float32(1e-30), "one column": np.where(np.arange(16) == 3, x, 0)}


@pytest.mark.parametrize("method", [*ROUNDING])
def test_weights_are_on_the_grid_whatever_the_inputs(rng: np.random.Generator, method: str) -> None:
    weight = rng.standard_normal((6, 16)).astype(np.float32)
    amax = np.abs(weight).max(1, keepdims=True)
    nearest = tensor_quant.fake_tensor_quant(weight, amax, 4)
    for kind, x in inputs(rng).items():
        before = weight.copy(), x.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = ROUNDING[method](weight, x)
        assert np.isfinite(got).all(), kind
        np.testing.assert_array_equal(tensor_quant.fake_tensor_quant(got, amax, 4), got, err_msg=kind)
        assert error(got, weight, x) <= 1.02 * error(nearest, weight, x) + 1e-60, kind
        np.testing.assert_array_equal(weight, before[0])
        np.testing.assert_array_equal(x, before[1])


@pytest.mark.parametrize("method", [*SCALING])
def test_factors_are_finite_whatever_the_inputs(rng: np.random.Generator, method: str) -> None:
    weight = rng.standard_normal((6, 16)).astype(np.float32)
    for kind, x in inputs(rng).items():
        got, scale = SCALING[method](weight, x)
        assert np.isfinite(got).all() and np.isfinite(scale).all() and (scale > 0).all(), kind
        np.testing.assert_allclose(got * scale, weight, rtol=1e-5, err_msg=kind)


@pytest.mark.parametrize("method", [*ROUNDING, *SCALING, *OTHER])
def test_what_is_no_weight_or_no_input_is_refused(rng: np.random.Generator, method: str) -> None:
    call = (ROUNDING | SCALING | OTHER)[method]
    w, x = np.ones((3, 8), np.float32), np.ones((5, 8), np.float32)
    for bad in (np.nan, np.inf):
        for name, arguments in (("weight", (w * bad, x)), ("inputs", (w, x * bad))):
            with pytest.raises(ValueError, match=f"finite `{name}`"):
                call(*arguments)
    for name, arguments in (("weight", (w[0], x)), ("weight", (w[None], x)), ("inputs", (w, x[0])),
                            ("inputs", (w, x[:, :3])), ("inputs", (w, x[:0]))):
        with pytest.raises(ValueError, match=f"`{name}` of shape"):
            call(*arguments)
    for name, arguments in (("weight", (w.astype(int), x)), ("inputs", (w, x.astype(object)))):
        with pytest.raises(TypeError, match=f"`{name}`"):
            call(*arguments)


def test_empty_weights(rng: np.random.Generator) -> None:
    for shape in ((0, 8), (3, 0)):
        w, x = np.ones(shape, np.float32), np.ones((5, shape[1]), np.float32)
        for call in ROUNDING.values():
            assert call(w, x).shape == shape
        for call in SCALING.values():
            assert call(w, x)[0].shape == shape

"""Clip, nn.functional.clip and its backward."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c.float_nn import Parameter
from pytorch_quantization_c.nn import Clip
from pytorch_quantization_c.nn.functional import ClipFunction, clip
from pytorch_quantization_c.tensor_quant import FunctionCtx

from .. import oracle

X = np.float32([[-3, -1, -0.5], [0, 2, np.nan], [np.inf, -np.inf, 1.5]])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("limits", [(-1, 1), (-1.0, 1.5), ([-1.0, 0.0, 1.0], np.float64(2)),
                                    (np.float32([[-1], [0], [1]]), np.full((3, 3), 1.25)), (1.0, -1.0)], ids=str)
def test_values(dtype: type, limits: Any) -> None:
    x = X.astype(dtype)
    oracle.same(clip(x, *limits), oracle.clip(x, *(np.asarray(each, np.float32) for each in limits)))
    oracle.same(Clip(*limits)(x), clip(x, *limits))


def test_learnt_limits_are_parameters() -> None:
    layer = Clip(-1, np.float64(2), learn_min=True, learn_max=True)
    assert {name: (value.dtype, value.shape) for name, value in layer.named_parameters()} == {
        "clip_value_min": (np.float32, ()), "clip_value_max": (np.float32, ())}
    layer.load_state_dict({"clip_value_min": np.float32(0), "clip_value_max": np.float32(1)})
    oracle.same(layer(X), oracle.clip(X, 0, 1))
    fixed = Clip(-1.0, 2.0, learn_max=True)
    assert list(fixed.state_dict()) == ["clip_value_max"] and fixed.clip_value_min == -1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients(dtype: type, rng: np.random.Generator) -> None:
    x, grad = (rng.normal(size=(5, 6)).astype(dtype) for _ in range(2))
    low, high = Parameter(np.float32(-0.5)), Parameter(np.float32(0.5), requires_grad=False)
    ctx = FunctionCtx()
    oracle.same(ClipFunction.forward(ctx, x, low, high), oracle.clip(x, -0.5, 0.5))
    grads = ClipFunction.backward(ctx, grad)
    inside = (x > dtype(-0.5)) & (x < dtype(0.5))
    oracle.same(grads[0], np.where(inside, grad, dtype(0)))
    assert grads[2] is None and grads[1] is not None and grads[1].dtype == np.float32
    rtol = 1e-2 if dtype == np.float16 else 1e-5
    np.testing.assert_allclose(grads[1], grad[x <= -0.5].astype(np.float64).sum(), rtol)
    ctx.needs_input_grad = (True, False, True)
    grads = ClipFunction.backward(ctx, grad)
    assert grads[1] is None
    np.testing.assert_allclose(grads[2], grad[x >= 0.5].astype(np.float64).sum(), rtol)


def test_refusals() -> None:
    ctx = FunctionCtx()
    ClipFunction.forward(ctx, X, [-1.0, -1.0, -1.0], 1.0)
    with pytest.raises(ValueError, match=r"can only be scalar, got size \(3,\) and \(\)"):
        ClipFunction.backward(ctx, X)
    ClipFunction.forward(ctx, X, -1.0, 1.0)
    with pytest.raises(ValueError, match="`grad_output`"):
        ClipFunction.backward(ctx, np.ones(2, np.float32))
    with pytest.raises(ValueError, match="must be scalar"):
        Clip([0.1, 0.2], 1.0, learn_min=True)
    for call, error, message in ((lambda: clip(np.arange(3), 0, 1), TypeError, "`input`.*int"),
                                 (lambda: clip(X, None, 1), TypeError, "`clip_value_min`"),
                                 (lambda: clip(X, 0, "1"), TypeError, "`clip_value_max`"),
                                 (lambda: clip(X, [0, 1], 1), ValueError, r"`clip_value_min` \(2,\)"),
                                 (lambda: Clip("0", 1, learn_min=True), TypeError, "`clip_value_min`"),
                                 (lambda: Clip(0, None, learn_max=True), TypeError, "`clip_value_max`")):
        with pytest.raises(error, match=message):
            call()

"""Pooling and instance normalisation of a quantised input."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

POOLS = [f"{kind}Pool{n}d" for kind in ("Max", "Avg", "AdaptiveAvg") for n in (1, 2, 3)]


def fake(x: Any) -> Any:
    return oracle.integer(x, oracle.largest(x), narrow_range=False)[1]


@pytest.mark.parametrize("name", POOLS)
def test_pool_of_windows_of_two(name: str, rng: np.random.Generator) -> None:
    """Kernel 2, stride 2 (or half the size): the window is an axis pair after a reshape."""
    dims = int(name[-2])
    x = rng.normal(size=(2, 3, *[4] * dims)).astype(np.float32)
    windows = fake(x).reshape(2, 3, *[2, 2] * dims)
    over = tuple(range(3, 3 + 2 * dims, 2))
    wanted = windows.max(over) if name.startswith("Max") else windows.mean(over, dtype=np.float64)
    layer = getattr(nn, "Quant" + name)(2)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-6, atol=1e-7)
    assert getattr(nn, name) is type(layer) and isinstance(layer, getattr(float_nn, name))


def test_quantising_makes_draws_and_the_first_of_them_counts() -> None:
    x = np.array([[[0.1, 0.5, 0.52, 1.0, 0.97]]], np.float32)
    layer = nn.QuantMaxPool1d(3, stride=1, return_indices=True, quant_desc_input=QuantDescriptor(num_bits=2, amax=1.0))
    values, indices = layer(x)
    np.testing.assert_array_equal(values, [[[1, 1, 1]]])
    np.testing.assert_array_equal(indices, [[[2, 2, 2]]])
    plain, places = float_nn.MaxPool1d(3, stride=1, return_indices=True)(x)
    np.testing.assert_array_equal(places, [[[2, 3, 3]]])


def test_arguments_of_the_float_pools_pass_through() -> None:
    pool = nn.QuantAvgPool2d((2, 3), stride=(1, 2), padding=(1, 0), ceil_mode=True, count_include_pad=False,
                             divisor_override=5)
    assert (pool.kernel_size, pool.stride, pool.padding, pool.divisor_override) == ((2, 3), (1, 2), (1, 0), 5)
    assert pool.ceil_mode and not pool.count_include_pad
    with pytest.raises(TypeError, match="divisor_override"):
        nn.QuantAvgPool1d(2, divisor_override=3)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_has_no_weight_to_describe(name: str) -> None:
    with pytest.raises(TypeError, match="quant_desc_weight"):
        getattr(nn, "Quant" + name)(2, quant_desc_weight=QuantDescriptor())


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm(dims: int, affine: bool, rng: np.random.Generator) -> None:
    layer = getattr(nn, f"QuantInstanceNorm{dims}d")(3, eps=1e-3, affine=affine)
    x = rng.normal(size=(2, 3, *[4] * dims)).astype(np.float32)
    q = fake(x).astype(np.float64)
    over = tuple(range(2, 2 + dims))
    wanted = (q - q.mean(over, keepdims=True)) / np.sqrt(q.var(over, keepdims=True) + 1e-3)
    if affine:
        layer.weight[...] = rng.normal(size=3)
        layer.bias[...] = rng.normal(size=3)
        wanted = wanted * layer.weight.reshape(-1, *[1] * dims) + layer.bias.reshape(-1, *[1] * dims)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-5)

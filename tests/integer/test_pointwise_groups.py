"""1x1 convolutions with 4-bit weights in groups of input channels: the linear layer of each pixel, to the bit."""
from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import calib, calibrating, float_nn, integer, nn
from pytorch_quantization_c.integer import Int
from pytorch_quantization_c.model.freeze import freeze, load_frozen, save_frozen
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .test_int4 import expected
from .test_int4_layers import groups_of

KINDS = {1: nn.QuantConv1d, 2: nn.QuantConv2d, 3: nn.QuantConv3d}


def layer_of(rng: np.random.Generator, spatial: int = 2, bits: int = 4, **kwargs: Any) -> Any:
    settings: Any = {"quant_desc_weight": QuantDescriptor(bits, block_sizes={-1: 32}), **kwargs}
    layer: Any = KINDS[spatial](72, 20, 1, **settings)
    layer.weight[...] = rng.standard_normal(layer.weight.shape) * rng.uniform(0.1, 3, layer.weight.shape)
    layer.bias[...] = rng.standard_normal(20)
    return layer


def pixels(x: Any, step: int, padding: int) -> Any:
    spatial = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * spatial])
    x = x[(slice(None), slice(None), *[slice(None, None, step)] * spatial)]
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("step, padding", [(1, 0), (2, 0), (3, 1)])
@pytest.mark.parametrize("amax", [None, 2.5])
def test_convolutions(bits: int, spatial: int, step: int, padding: int, amax: float | None,
                      rng: np.random.Generator) -> None:
    layer = layer_of(rng, spatial, bits, stride=step, padding=padding,
                     quant_desc_input=QuantDescriptor(8, **({} if amax is None else {"amax": amax})))
    x = rng.standard_normal((2, 72, *[4] * spatial)).astype(np.float32)
    x[0, 0, -1] = 9.0  # a range that strides pass over
    codes, scale = groups_of(np.asarray(layer.weight).reshape(20, 72), bits, 32)
    wanted = codes / np.repeat(scale, 32, 1)[:, :72]
    np.testing.assert_array_equal(layer.weight_quantizer(layer.weight).reshape(20, 72), wanted.astype(np.float32))
    rows = pixels(x, step, padding)
    want = expected(rows.reshape(-1, 72), codes, scale, Int(8), 32, None, np.asarray(layer.bias),
                    np.abs(x).max() if amax is None else amax)
    y = layer(x)
    assert layer.execution == "int8"
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1).reshape(-1, 20), want)
    np.testing.assert_array_equal(layer(x[1]), layer(x[1:])[0])
    with integer.float_only():
        assert np.abs(layer(x) - y).max() <= 1e-4 * np.abs(y).max()


def test_zero_points_and_ranges(rng: np.random.Generator) -> None:
    layer = layer_of(rng, quant_desc_input=QuantDescriptor(8, zero_point=True))
    x = rng.uniform(-0.3, 2, (2, 72, 3, 4)).astype(np.float32)
    y = layer(x)
    assert layer.execution == "int8"
    with integer.float_only():
        assert np.abs(layer(x) - y).max() <= 1e-4 * np.abs(y).max()
    calib.calibrate_weights(layer, method="max")
    assert layer.weight_quantizer.amax.shape == (20, 3)
    np.testing.assert_array_equal(layer(x), y)
    other = layer_of(rng, quant_desc_input=QuantDescriptor(8, zero_point=True))
    other.weight[...], other.bias[...] = layer.weight, layer.bias
    with calibrating(other, load_amax=True):
        other(x)
    np.testing.assert_array_equal(other.weight_quantizer.amax, layer.weight_quantizer.amax)
    np.testing.assert_array_equal(other(x), y)


@pytest.mark.parametrize("keep_float", [True, False])
def test_frozen(keep_float: bool, rng: np.random.Generator, tmp_path: Any) -> None:
    net = float_nn.Sequential(layer_of(rng))
    x = rng.standard_normal((1, 72, 3, 4)).astype(np.float32)
    before, floats = net(x), net[0].weight.nbytes
    freeze(net, keep_float=keep_float)
    np.testing.assert_array_equal(net(x), before)
    if keep_float:
        return
    save_frozen(net, tmp_path / "net.safetensors")
    assert net.state_dict()["0._integer_weight_4bit"].nbytes == floats // 8
    for made in (load_frozen(float_nn.Sequential(layer_of(rng)), tmp_path / "net.safetensors"),
                 pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(made(x), before)
        assert made[0].execution == "int8"
        with integer.float_only():
            assert np.abs(made(x) - before).max() <= 1e-4 * np.abs(before).max()


@pytest.mark.parametrize("settings", [{"kernel_size": 3}, {"kernel_size": 1, "groups": 2}])
def test_other_kernels_have_no_groups_of_channels(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="block_sizes"):
        nn.QuantConv2d(72, 20, **settings, quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32}))
    with pytest.raises(ValueError, match="block_sizes"):
        nn.QuantConvTranspose2d(72, 20, 1, quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32}))

"""Grouped transposed convolutions with a scale for each true output channel, against loops in NumPy."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import calib, float_nn, integer, nn
from pytorch_quantization_c.model.freeze import freeze, load_frozen, save_frozen
from pytorch_quantization_c.tensor_quant import QuantDescriptor

GROUPS, INPUTS, EACH = 3, 6, 2


def layer_of(rng: np.random.Generator, spatial: int = 1, bits: int = 8, **kwargs: Any) -> Any:
    axis = kwargs.pop("axis", (0, 1))
    cls = (nn.QuantConvTranspose1d, nn.QuantConvTranspose2d, nn.QuantConvTranspose3d)[spatial - 1]
    layer: Any = cls(INPUTS, GROUPS * EACH, 3, stride=2, padding=1, groups=GROUPS, **kwargs,
                quant_desc_weight=QuantDescriptor(bits, axis=axis))
    size = (INPUTS, EACH, *[1] * spatial)
    layer.weight[...] = rng.standard_normal(layer.weight.shape) * rng.uniform(0.1, 10, size)
    layer.bias[...] = rng.standard_normal(GROUPS * EACH)
    return layer


def amax_of(weight: Any) -> Any:
    """(in, out / groups, 1, ...): the largest magnitude of all that goes into an output channel."""
    made = np.zeros((INPUTS, EACH, *[1] * (weight.ndim - 2)), np.float32)
    for g in range(GROUPS):
        rows = slice(g * INPUTS // GROUPS, (g + 1) * INPUTS // GROUPS)
        for j in range(EACH):
            made[rows, j] = np.abs(weight[rows, j]).max()
    return made


def fake(x: Any, amax: Any, bits: int = 8) -> Any:
    bound = np.float32(2 ** (bits - 1) - 1)
    scale = bound / np.float32(amax)
    return np.clip(np.rint(x * scale), -bound - 1, bound) / scale


def transposed(x: Any, w: Any, bias: Any) -> Any:
    """Along one axis, kernel 3, stride 2, padding 1, in float64."""
    y = np.zeros((len(x), GROUPS * EACH, 2 * x.shape[2] + 1))
    for c in range(INPUTS):
        for j in range(EACH):
            for t in range(x.shape[2]):
                for k in range(3):
                    y[:, c // (INPUTS // GROUPS) * EACH + j, 2 * t + k] += x[:, c, t].astype(float) * float(w[c, j, k])
    return y[:, :, 1:-1] + bias[:, None]


@pytest.mark.parametrize("bits", [8, 4])
def test_each_output_channel_has_its_scale(bits: int, rng: np.random.Generator) -> None:
    layer = layer_of(rng, bits=bits)
    x = rng.standard_normal((2, INPUTS, 5)).astype(np.float32)
    y, amax = layer(x), amax_of(np.asarray(layer.weight))
    assert layer.execution == "int8"
    np.testing.assert_array_equal(layer.weight_quantizer(layer.weight), fake(np.asarray(layer.weight), amax, bits))
    wanted = transposed(fake(x, np.abs(x).max()), fake(np.asarray(layer.weight), amax, bits), np.asarray(layer.bias))
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=2e-6 * np.abs(wanted).max())
    with integer.float_only():
        np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    shared = layer_of(rng, bits=bits, axis=1)  # the original's: groups share those of axis 1
    shared.weight[...] = layer.weight
    each = np.abs(np.asarray(layer.weight)).max((0, 2), keepdims=True)
    np.testing.assert_array_equal(shared.weight_quantizer(shared.weight), fake(np.asarray(layer.weight), each, bits))


def test_calibrated_ranges(rng: np.random.Generator) -> None:
    layer = layer_of(rng)
    wanted = amax_of(np.asarray(layer.weight))
    quantizer = layer.weight_quantizer
    quantizer.enable_calib()
    quantizer.disable_quant()
    quantizer(layer.weight)
    quantizer.load_calib_amax()
    np.testing.assert_array_equal(quantizer.amax, wanted)
    other = layer_of(rng)
    other.weight[...] = layer.weight
    calib.calibrate_weights(other, method="max")
    np.testing.assert_array_equal(other.weight_quantizer.amax, wanted)
    quantizer.disable_calib()
    quantizer.enable_quant()
    x = rng.standard_normal((1, INPUTS, 4)).astype(np.float32)
    layer(x)
    assert layer.execution == "int8"
    quantizer._buffers["_amax"] = wanted * np.linspace(1, 2, INPUTS, dtype=np.float32)[:, None, None]
    layer(x)
    assert layer.execution == "float: the weight's amax is neither per-tensor nor per-output-channel"


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_frozen_layers_and_their_files(spatial: int, bits: int, rng: np.random.Generator, tmp_path: Any) -> None:
    net = float_nn.Sequential(layer_of(rng, spatial, bits))
    x = rng.standard_normal((2, INPUTS, *[4] * spatial)).astype(np.float32)
    before = net(x)
    freeze(net, keep_float=False)
    np.testing.assert_array_equal(net(x), before)
    save_frozen(net, tmp_path / "net.safetensors")
    other = load_frozen(float_nn.Sequential(layer_of(rng, spatial, bits)), tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other(x), before)
    assert net[0].execution == other[0].execution == "int8"
    with integer.float_only():
        np.testing.assert_allclose(other(x), before, rtol=1e-4, atol=1e-5 * np.abs(before).max())

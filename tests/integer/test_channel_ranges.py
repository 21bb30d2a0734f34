"""A fixed range for each input channel: folded into the weight where they are powers of two apart, said where not."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import integer, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def fake(x: Any, amax: Any, bits: int = 8) -> Any:
    bound = np.float32(2 ** (bits - 1) - 1)
    scale = bound / np.asarray(amax, np.float32)
    return (np.clip(np.rint(x * scale), -bound - 1, bound) / scale).astype(np.float64)


def made(rng: np.random.Generator, amax: Any, bits: int = 4) -> tuple[Any, Any]:
    layer: Any = nn.QuantLinear(len(amax), 6, quant_desc_input=QuantDescriptor(8, axis=-1),
                                quant_desc_weight=QuantDescriptor(bits, axis=0))
    layer.weight[...], layer.bias[...] = rng.standard_normal((6, len(amax))), rng.standard_normal(6)
    layer.input_quantizer.amax = np.asarray(amax, np.float32)[None]
    return layer, (rng.standard_normal((5, len(amax))) * amax).astype(np.float32)


def test_linear_layers(rng: np.random.Generator) -> None:
    amax = np.float32([1.5, 3.0, 12.0, 1.5, 24.0, 6.0, 1.5, 3.0])
    layer, x = made(rng, amax)
    weight = np.asarray(layer.weight)
    wanted = fake(x, amax) @ fake(weight, np.abs(weight).max(1, keepdims=True), 4).T + np.asarray(layer.bias)
    for _ in range(2):
        y = layer(x)
        assert layer.execution == "int8"
        np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    with integer.float_only():
        np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    layer.weight[0] *= 2
    weight = np.asarray(layer.weight)
    wanted = fake(x, amax) @ fake(weight, np.abs(weight).max(1, keepdims=True), 4).T + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    layer.input_quantizer.amax[...] = np.float32(2)  # one range after all
    wanted = fake(x, 2) @ fake(weight, np.abs(weight).max(1, keepdims=True), 4).T + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    assert layer.execution == "int8"


@pytest.mark.parametrize("groups, transposed", [(1, False), (2, False), (1, True), (2, True)])
def test_convolutions(groups: int, transposed: bool, rng: np.random.Generator) -> None:
    cls: Any = nn.QuantConvTranspose2d if transposed else nn.QuantConv2d
    settings: Any = dict(groups=groups, quant_desc_weight=QuantDescriptor(4, axis=1 if transposed else 0))
    layer = cls(4, 6, 3, **settings, quant_desc_input=QuantDescriptor(8, axis=1))
    amax = np.float32([2.0, 8.0, 4.0, 2.0])
    layer.input_quantizer.amax = amax.reshape(1, 4, 1, 1)
    x = (rng.standard_normal((2, 4, 6, 5)) * amax[:, None, None]).astype(np.float32)
    y = layer(x)
    assert layer.execution == "int8"
    plain = cls(4, 6, 3, **settings)  # floats, fake quantised by hand
    plain.weight[...], plain.bias[...] = layer.weight_quantizer(layer.weight), layer.bias
    plain.input_quantizer.disable()
    plain.weight_quantizer.disable()
    wanted = plain(fake(x, amax[:, None, None]).astype(np.float32))
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("amax, bits, why", [
    ([1.0, 3.0, 2.0], 4, "powers of two apart"), ([1.0, 2.0, 32.0], 4, "more than 8 bits"),
    ([1.0, 2.0, 2.0], 8, "more than 8 bits"), ([0.0, 1.0, 1.0], 4, "next to nothing"),
])
def test_what_cannot_be_folded_is_said(amax: list[float], bits: int, why: str, rng: np.random.Generator) -> None:
    layer, _ = made(rng, amax, bits)
    x = rng.standard_normal((3, 3)).astype(np.float32)
    y = layer(x)
    assert layer.execution.startswith("float: the input has an amax for each channel") and why in layer.execution
    weight, scales = np.asarray(layer.weight), np.float32(amax)
    with np.errstate(divide="ignore", invalid="ignore"):
        given = np.where(scales > 0, fake(x, scales), 0)
    wanted = given @ fake(weight, np.abs(weight).max(1, keepdims=True), bits).T + np.asarray(layer.bias)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_ranges_of_other_axes_and_in_flight_are_not(rng: np.random.Generator) -> None:
    layer: Any = nn.QuantConv2d(4, 6, 3, quant_desc_input=QuantDescriptor(8, axis=1))
    layer(rng.standard_normal((1, 4, 5, 5)).astype(np.float32))
    assert layer.execution == "float: the input has an amax for each channel"
    layer = nn.QuantConv2d(4, 6, 3, quant_desc_input=QuantDescriptor(8, axis=2))
    layer.input_quantizer.amax = np.ones((1, 1, 5, 1), np.float32)
    layer(rng.standard_normal((1, 4, 5, 5)).astype(np.float32))
    assert "not one for each input channel alone" in layer.execution

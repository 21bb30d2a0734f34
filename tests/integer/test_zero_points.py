"""Inputs with a zero point on integers: exact int64 sums, whatever the algorithm and the instruction set."""
from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import integer, isa, nn
from pytorch_quantization_c.integer import Geometry, Int, PackedWeights
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import oracle

LINEAR = [(1, 8, 5), (1, 64, 64), (2, 33, 70), (40, 129, 65), (200, 64, 96)]
FLAT, EDGE = Geometry(False, 1, (1, 1), (0, 0), (0, 0), (1, 1), (0, 0)), (1, 1)
CONVS: list[tuple[tuple[int, ...], tuple[int, ...], Geometry]] = [
    ((2, 3, 15, 17), (16, 3, 7, 7), FLAT._replace(stride=(2, 2), before=(3, 3), after=(3, 3))),     # tap-packed
    ((1, 64, 14, 14), (64, 64, 3, 3), FLAT._replace(before=EDGE, after=EDGE)),                       # Winograd, AMX
    ((1, 32, 9, 9), (48, 32, 3, 3), FLAT._replace(stride=(2, 2), before=EDGE, after=EDGE)),          # igemm, stride
    ((1, 64, 8, 9), (32, 64, 1, 1), FLAT),                                                          # pointwise
    ((1, 8, 16, 18), (8, 1, 3, 3), FLAT._replace(groups=8, before=EDGE, after=EDGE)),               # depthwise
    ((1, 8, 16, 18), (8, 1, 5, 5), FLAT._replace(groups=8, stride=(2, 2), before=(2, 2), after=(2, 2))),
    ((2, 12, 9, 8), (6, 4, 3, 3), FLAT._replace(groups=3, dilation=(2, 1), before=(2, 1), after=(2, 1))),
    ((1, 6, 5, 5), (6, 4, 3, 3), FLAT._replace(transposed=True, stride=(2, 2), before=EDGE, after=EDGE,
                                              output_padding=(1, 1))),
]


def parameters(low: Any, high: Any, bits: int) -> tuple[Any, int]:
    levels = np.float32(2 ** bits - 1)
    scale = levels / (np.float32(high) - np.float32(low))
    return scale, int(np.rint(-np.float32(low) * scale))


def levels(x: Any, low: Any, high: Any, bits: int) -> Any:
    """The integers that values are, less the zero point."""
    scale, zero = parameters(low, high, bits)
    return np.clip(np.rint(x * scale), -zero, 2 ** bits - 1 - zero).astype(np.int64)


def weights(rng: np.random.Generator, shape: Any, unsigned: bool = False) -> Any:
    return rng.integers(0, 256, shape).astype(np.uint8) if unsigned else rng.integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("name", isa.selected())
@pytest.mark.parametrize("low, high, bits", [(-0.3, 2.6, 8), (0.0, 1.5, 8), (-2.0, 0.0, 8), (-1.5, 0.1, 5)])
def test_linear(name: str, low: float, high: float, bits: int, rng: np.random.Generator) -> None:
    with isa.only(name):
        for rows, inputs, outputs in LINEAR:
            x = rng.uniform(1.2 * low - 0.1, 1.2 * high, (rows, inputs)).astype(np.float32)
            w = weights(rng, (outputs, inputs), unsigned=rows == 2)
            scale, bias = rng.uniform(0.5, 90, outputs).astype(np.float32), rng.normal(size=outputs).astype(np.float32)
            packed = PackedWeights(w, scale, Geometry(), Int(bits), two_ended=True)
            total = oracle.linear(levels(x, low, high, bits), w.astype(np.int64))
            wanted = oracle.dequantized(total, parameters(low, high, bits)[0], scale, bias, 1)
            np.testing.assert_array_equal(packed(x, (np.float32(low), np.float32(high)), bias), wanted)


@pytest.mark.parametrize("name", isa.selected())
@pytest.mark.parametrize("case", range(len(CONVS)))
def test_convolutions(name: str, case: int, rng: np.random.Generator) -> None:
    shape, kernel, geometry = CONVS[case]
    low, high = np.float32(-0.4), np.float32(1.9)
    x, w = rng.uniform(-0.6, 2.2, shape).astype(np.float32), weights(rng, kernel)
    outputs = kernel[1] * geometry.groups if geometry.transposed else kernel[0]
    scale, bias = rng.uniform(0.5, 90, outputs).astype(np.float32), rng.normal(size=outputs).astype(np.float32)
    product = oracle.conv_transpose if geometry.transposed else oracle.conv
    total = product(levels(x, low, high, 8), w.astype(np.int64), geometry)
    wanted = oracle.dequantized(total, parameters(low, high, 8)[0], scale, bias, 1)
    with isa.only(name):
        packed = PackedWeights(w, scale, geometry, Int(8), two_ended=True)
        np.testing.assert_array_equal(packed(x, (low, high), bias), wanted)
        np.testing.assert_array_equal(copy.deepcopy(packed)(x, (low, high), bias), wanted)


def affine_layer(**options: Any) -> Any:
    return nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(8, zero_point=True, **options))


def test_layers_run_on_integers(rng: np.random.Generator) -> None:
    x = np.maximum(rng.normal(size=(7, 48)), -0.2).astype(np.float32)
    for layer in (affine_layer(), affine_layer(amin=-0.2, amax=2.0), affine_layer(amin=0.0, amax=2.0),
                  affine_layer(scale_amax=0.9)):
        y = layer(x)
        assert layer.execution == "int8"
        with integer.float_only():
            wanted = layer(x)
        assert layer.execution.startswith("float")
        np.testing.assert_allclose(y, wanted, rtol=0, atol=4e-7 * np.abs(wanted).max() + 1e-7)
        again = layer(2 * x)
        assert layer.execution == "int8"
        with integer.float_only():
            np.testing.assert_allclose(again, layer(2 * x), rtol=0, atol=4e-6)


def test_calibrated_and_frozen(rng: np.random.Generator, tmp_path: Any) -> None:
    x = np.maximum(rng.normal(size=(7, 48)), -0.2).astype(np.float32)
    layer = affine_layer()
    with pq.calibrating(layer, load_amax=True):
        layer(x)
    y = layer(x)
    assert layer.execution == "int8" and layer.input_quantizer.amin == x.min()
    pq.freeze(layer, keep_float=False)
    np.testing.assert_array_equal(layer(x), y)
    assert layer.execution == "int8"
    pq.save_frozen(layer, tmp_path / "frozen")
    other = affine_layer()
    pq.load_frozen(other, tmp_path / "frozen")
    np.testing.assert_array_equal(other(x), y)
    layer.input_quantizer.amax = np.float32(3.0)
    assert (layer(x) != y).any() and layer.execution == "int8"


def test_what_goes_to_floats(rng: np.random.Generator) -> None:
    x = rng.normal(size=(7, 48)).astype(np.float32)
    layer = affine_layer()
    assert np.isnan(layer(np.where(x > 2, np.nan, x).astype(np.float32))).any()
    assert layer.execution.startswith("float")
    assert (layer(0 * x) == layer.bias).all() and "empty" in layer.execution
    wide = nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(12, zero_point=True))
    wide(x)
    assert "2 to 8 bits" in wide.execution
    both = nn.QuantLinear(48, 20, quant_desc_weight=QuantDescriptor(8, zero_point=True))
    both(x)
    assert both.execution == "float: the weight has a zero point"
    blocks = nn.QuantLinear(48, 20, quant_desc_input=pq.tensor_quant.QUANT_DESC_MXFP8)
    blocks(x)
    assert blocks.execution == "float: the input has a scale for each block"


def test_a_pair_is_expected() -> None:
    packed = PackedWeights(np.ones((2, 3), np.int8), np.ones(1, np.float32), Geometry(), Int(8), True)
    with pytest.raises(ValueError, match="empty or not finite"):
        packed(np.ones((1, 3), np.float32), (np.float32(0), np.float32(0)))
    np.testing.assert_array_equal(packed(np.float32([[0, 1, 3]])), [[4, 4]])

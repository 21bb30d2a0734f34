"""A range for each row of a linear layer's input, in flight: exact sums and the contract's roundings, row by row."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import integer, isa, nn, threads
from pytorch_quantization_c.integer import Geometry, Int, PackedWeights
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import oracle


@pytest.mark.parametrize("name", isa.selected())
@pytest.mark.parametrize("format", [Int(8), Int(8, unsigned=True), Int(5, narrow=True)], ids=str)
def test_rows_have_the_bits_of_single_rows(name: str, format: Int, rng: np.random.Generator) -> None:
    for rows, inputs, outputs in ((1, 40, 9), (2, 33, 70), (37, 129, 65), (200, 64, 130)):
        x = (rng.normal(size=(rows, inputs)) * np.exp2(rng.integers(-6, 6, (rows, 1)))).astype(np.float32)
        x = np.abs(x) if format.unsigned else x
        x[rows // 2] = 0
        w = rng.integers(-128, 128, (outputs, inputs)).astype(np.int8)
        scale, bias = rng.uniform(0.5, 90, outputs).astype(np.float32), rng.normal(size=outputs).astype(np.float32)
        wanted = []
        for row in x:
            amax = np.abs(row).max()
            known = amax > 2.0 ** -24
            codes = oracle.quantized(row, amax, format) if known else np.zeros(inputs, np.int64)
            s_x = oracle.scale_of(amax, format) if known else np.float32(1)
            wanted.append(oracle.dequantized(w.astype(np.int64) @ codes, s_x, scale, bias, 0))
        with isa.only(name):
            packed = PackedWeights(w, scale, Geometry(), format)
            np.testing.assert_array_equal(packed(x, None, bias, by_row=True), wanted)
            amaxes = np.abs(x).max(1, keepdims=True)
            np.testing.assert_array_equal(packed(x, amaxes, bias, by_row=True), wanted)
            plain = packed(x, None, None, by_row=True)
            np.testing.assert_array_equal(plain[0], packed(x[:1], None, None)[0])


@pytest.mark.parametrize("shape, axis", [((7, 48), 0), ((7, 48), -2), ((2, 3, 48), (0, 1)), ((2, 3, 2, 48), (0, 1, 2))])
def test_layers(shape: Any, axis: Any, rng: np.random.Generator) -> None:
    x = (rng.normal(size=shape) * np.exp2(rng.integers(-6, 6, (*shape[:-1], 1)))).astype(np.float32)
    for options in ({}, {"scale_amax": 0.8}):
        layer = nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(8, axis=axis, **options))
        y = layer(x)
        assert layer.execution == "int8"
        with integer.float_only():
            wanted = layer(x)
        limit = 1e-6 * np.abs(x).max(-1, keepdims=True) * 48 + 1e-7
        assert (np.abs(y - wanted) <= limit).all() and layer.execution.startswith("float")
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        np.testing.assert_array_equal(layer(x), y)
    finally:
        threads.set_num_threads(before)


def test_what_goes_to_floats(rng: np.random.Generator) -> None:
    x = rng.normal(size=(7, 48)).astype(np.float32)
    each = nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(8, axis=1))
    each(x)
    assert each.execution == "float: the input has an amax for each channel"
    rows = nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(8, axis=0))
    x[3, 4] = np.nan
    assert np.isnan(rows(x)[3]).all() and rows.execution.startswith("float: ")
    conv = nn.QuantConv2d(4, 4, 1, quant_desc_input=QuantDescriptor(8, axis=(0, 1, 2)))
    conv(np.ones((2, 4, 3, 3), np.float32))
    assert conv.execution.startswith("float: ")
    both = nn.QuantLinear(48, 20, quant_desc_input=QuantDescriptor(8, axis=0, zero_point=True))
    both(np.ones((7, 48), np.float32))
    assert both.execution == "float: the input has a range for each row"
    packed = PackedWeights(np.ones((2, 3), np.int8), np.ones(1, np.float32), Geometry(), Int(8))
    with pytest.raises(ValueError, match="ranges than rows"):
        packed(np.ones((4, 3), np.float32), np.ones(3, np.float32), by_row=True)

"""Weights of 4 bits in groups and inputs with a zero point: exact sums, whatever the instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, integer, nn
from pytorch_quantization_c.integer import Int, PackedInt4
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .cases import on_every_isa
from .test_int4 import case, fma
from .test_int4_layers import groups_of, layer_of


def levels(x: Any, low: Any, high: Any, bits: int) -> tuple[Any, Any]:
    """The integers that values are, less the zero point, and their scale."""
    top = np.float32(2 ** bits - 1)
    scale = top / (np.float32(high) - np.float32(low))
    zero = np.rint(-np.float32(low) * scale)
    return np.clip(np.rint(x * scale), -zero, top - zero).astype(np.int64), scale


def expected(codes: Any, x_scale: Any, w: Any, scale: Any, group: int, zero: Any, bias: Any) -> Any:
    inverse_x, inverse_w, w = 1 / np.float64(x_scale), 1 / scale.astype(np.float64), w.astype(np.int64)
    if zero is not None:
        w = w - np.repeat(zero.astype(np.int64), group, 1)[:, :w.shape[1]]
    if scale.shape[1] == 1:
        return fma((codes @ w.T).astype(np.float32), (inverse_x * inverse_w.T).astype(np.float32), bias)
    total = np.zeros((len(codes), len(w)), np.float32)
    for i, start in enumerate(range(0, w.shape[1], group)):
        sums = codes[:, start:start + group] @ w[:, start:start + group].T
        total = fma(sums.astype(np.float32), inverse_w[:, i].astype(np.float32)[None], total)
    return fma(total, np.float32(inverse_x), bias)


@pytest.mark.parametrize("low, high, bits", [(-0.3, 2.6, 8), (0.0, 1.5, 8), (-2.0, 0.0, 8), (-1.0, 1.0, 8),
                                             (-1.5, 0.1, 5)])
@pytest.mark.parametrize("rows, inputs, outputs, group", [(1, 64, 40, 32), (5, 100, 24, 32), (70, 264, 33, 64),
                                                          (3, 96, 17, None), (13, 50, 16, 128)])
@pytest.mark.parametrize("unsigned", [False, True])
def test_products(low: float, high: float, bits: int, rows: int, inputs: int, outputs: int, group: int | None,
                  unsigned: bool, rng: np.random.Generator) -> None:
    _, w, scale, zero, bias = case(rng, rows, inputs, outputs, group or inputs, unsigned)
    x = rng.uniform(1.2 * low - 0.1, 1.2 * high, (rows, inputs)).astype(np.float32)
    x[0, 0], x[-1, -1] = 1.3 * low - 0.1, 1.3 * high
    fixed, zeros = (np.float32(low), np.float32(high)), zero if rows == 5 else None
    found = on_every_isa(lambda: PackedInt4(w, scale, Int(bits), group=group, zero=zeros, two_ended=True),
                         lambda p: (p(x, None, bias), p(x, fixed, bias)))
    for pair in found:
        for y, ends in zip(pair, ((min(x.min(), 0), max(x.max(), 0)), fixed), strict=True):
            codes, x_scale = levels(x, *ends, bits)
            np.testing.assert_array_equal(y, expected(codes, x_scale, w, scale, group or inputs, zeros, bias))


@pytest.mark.parametrize("ends", [{}, {"amin": -0.5, "amax": 3.0}, {"amin": 0.0, "amax": 3.0}])
@pytest.mark.parametrize("frozen", [False, True])
def test_layers(ends: dict[str, float], frozen: bool, rng: np.random.Generator) -> None:
    layer = layer_of(rng, quant_desc_input=QuantDescriptor(8, zero_point=True, **ends))
    x = rng.uniform(-0.6, 3.2, (5, 100)).astype(np.float32)
    codes, scale = groups_of(np.asarray(layer.weight), 4, 32)
    if frozen:
        from pytorch_quantization_c.model.freeze import freeze
        freeze(layer, keep_float=False)
    for _ in range(3):  # the second and the third are one step where the range is fixed
        low, high = (ends["amin"], ends["amax"]) if ends else (min(x.min(), 0), max(x.max(), 0))
        integers, x_scale = levels(x, low, high, 8)
        want = expected(integers, x_scale, codes, scale, 32, None, np.asarray(layer.bias))
        np.testing.assert_array_equal(layer(x), want)
        assert layer.execution == "int8"
        x = x * np.float32(0.9)
    assert (layer._engine.frozen or layer._engine.cached).guarded is not None or not ends
    if ends:
        layer._input_quantizer.amax[...] = 2.0
        integers, x_scale = levels(x, ends["amin"], 2.0, 8)
        np.testing.assert_array_equal(layer(x), expected(integers, x_scale, codes, scale, 32, None,
                                                         np.asarray(layer.bias)))
        layer._input_quantizer.amin[...] = -1.0
        integers, x_scale = levels(x, -1.0, 2.0, 8)
        np.testing.assert_array_equal(layer(x), expected(integers, x_scale, codes, scale, 32, None,
                                                         np.asarray(layer.bias)))
    with integer.float_only():
        floats = layer(x)
    assert np.abs(floats - layer(x)).max() <= 1e-5 * np.abs(floats).max()


@pytest.mark.parametrize("ends", [(-0.5, 3.0), (0.0, 3.0)])
def test_prepared_calls_of_plain_layers(ends: tuple[float, float], rng: np.random.Generator) -> None:
    """Zero points of layers of 8 bits: the second call is one step, until something changes."""
    layer = nn.QuantLinear(40, 12, quant_desc_input=QuantDescriptor(8, zero_point=True, amin=ends[0], amax=ends[1]))
    x = rng.uniform(-0.6, 3.2, (3, 40)).astype(np.float32)
    first = layer(x)
    guarded = layer._engine.cached.guarded
    assert guarded is not None
    if ends[0] < 0:
        np.testing.assert_array_equal(_C.integer_call(guarded, layer, x), first)
    np.testing.assert_array_equal(layer(x), first)
    layer._input_quantizer.amax[...] = 2.0
    assert _C.integer_call(guarded, layer, x) is None
    other = nn.QuantLinear(40, 12, quant_desc_input=QuantDescriptor(8, zero_point=True, amin=ends[0], amax=2.0))
    other.weight[...], other.bias[...] = layer.weight, layer.bias
    np.testing.assert_array_equal(layer(x), other(x))
    layer.weight[0] *= 2
    other.weight[0] *= 2
    np.testing.assert_array_equal(layer(x), other(x))


@pytest.mark.parametrize("by_row", [False, True])
def test_prepared_calls_in_groups(by_row: bool, rng: np.random.Generator) -> None:
    layer = layer_of(rng, quant_desc_input=QuantDescriptor(8, axis=0 if by_row else None))
    x = rng.standard_normal((4, 100)).astype(np.float32)
    first = layer(x)
    guarded = layer._engine.cached.guarded
    np.testing.assert_array_equal(_C.int4_call(guarded, layer, x), first)
    np.testing.assert_array_equal(layer(x[:2]), first[:2] if by_row else layer(np.ascontiguousarray(x[:2])))
    assert _C.int4_call(guarded, layer, x.astype(np.float64)) is None
    if by_row:
        assert _C.int4_call(guarded, layer, x[None]) is None
        layer(x[None])
        assert layer.execution.startswith("float")
        layer(x)
    changes = [lambda: layer.weight.__setitem__(0, 1.0), lambda: layer.bias.__setitem__(0, 7.0),
               lambda: setattr(layer._input_quantizer, "_num_bits", 7),
               lambda: setattr(layer._weight_quantizer, "_num_bits", 3),
               lambda: layer._input_quantizer.disable()]
    for change in changes:
        change()
        of_input = QuantDescriptor(layer._input_quantizer.num_bits, axis=layer._input_quantizer.axis)
        fresh = layer_of(rng, quant_desc_input=of_input, bits=layer._weight_quantizer.num_bits)
        fresh.weight[...], fresh.bias[...] = layer.weight, layer.bias
        fresh._input_quantizer._disabled = layer._input_quantizer._disabled
        np.testing.assert_array_equal(layer(x), fresh(x))
        assert layer.execution == fresh.execution
    for bad in ((), (1, 2, 3, 4), ((), -1, None, ()), (guarded[0], "a", *guarded[2:])):
        with pytest.raises(TypeError):
            _C.int4_call(bad, layer, x)


def test_what_is_refused(rng: np.random.Generator) -> None:
    x, w, scale, _, bias = case(rng, 2, 32, 8, 32)
    packed = PackedInt4(w, scale, Int(8), group=32, two_ended=True)
    with pytest.raises(ValueError, match="by_row"):
        packed(x, None, bias, by_row=True)
    with pytest.raises(ValueError, match="beyond the range"):
        packed(x, (np.float32(0), np.float32(np.inf)))
    with pytest.raises(ValueError, match="for each channel"):
        packed(x, (np.zeros(2, np.float32), np.ones(2, np.float32)))
    arguments = list(packed.arguments(x, np.float32([1, 300]), False, None))
    for number, bad, message in ((9, np.float32([1, 300]), "zero point from 0 to 255"),
                                 (9, np.float32([1, np.nan]), "zero point from 0 to 255"),
                                 (9, np.float32([1]), "`amax` to have 2"), (9, None, "a scale and a zero point"),
                                 (10, True, "a scale and a zero point"), (2, None, "`weight_sums`")):
        with pytest.raises(ValueError, match=message):
            _C.int4_run(*[bad if i == number else each for i, each in enumerate(arguments)])
    arguments[9] = np.float32([np.inf, 3])
    assert isinstance(_C.int4_run(*arguments), str)

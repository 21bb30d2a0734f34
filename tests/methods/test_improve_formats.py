"""`improve` with ranges of two ends, and beside weights in formats that its methods do not treat."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, methods, nn, tensor_quant
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .correlated import error
from .correlated import layer as correlated
from .test_improve import floats, sqnr

Array = Any
TWO_ENDS = QuantDescriptor(8, zero_point=True)
GROUPS = QuantDescriptor(4, narrow_range=True, block_sizes={-1: 16})


def lopsided(rng: np.random.Generator) -> Array:
    """Outliers below 0 on one channel, above on another one."""
    x = rng.standard_normal((200, 32)).astype(np.float32)
    x[:, 0] = -np.abs(x[:, 0]) * 30
    x[:, 1] = np.abs(x[:, 1]) * 25
    return x


def test_both_ends_of_an_inputs_range_follow_smoothquant(rng: np.random.Generator) -> None:
    layer = nn.QuantLinear(32, 16, quant_desc_input=TWO_ENDS)
    model, x = float_nn.Sequential(layer), lopsided(rng)
    layer.weight[:, 1] *= 9
    with pq.calibrating(model, load_amax=True):
        model(x)
    expected, before = floats(model, x), model(x)
    pq.improve(model, [x], methods=["smoothquant"])
    given = x * layer.input_quantizer.pre_quant_scale
    np.testing.assert_allclose(layer.input_quantizer.amin, given.min(), rtol=1e-5)
    np.testing.assert_allclose(layer.input_quantizer.amax, given.max(), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(layer.weight_quantizer.amax), np.abs(layer.weight).max(1), rtol=1e-6)
    assert sqnr(expected, model(x)) > sqnr(expected, before) + 3


@pytest.mark.parametrize("weight", [TWO_ENDS, QuantDescriptor(8, axis=0, zero_point=True), GROUPS,
                                    QuantDescriptor(8, block_sizes={-1: 16, "type": "dynamic", "scale_bits": (4, 3)}),
                                    QuantDescriptor((4, 3)), QuantDescriptor((5, 2), axis=1), QuantDescriptor(8)],
                         ids=str)
def test_ranges_follow_equalization(rng: np.random.Generator, weight: QuantDescriptor) -> None:
    formats = {"quant_desc_weight": weight, "quant_desc_input": TWO_ENDS}
    model = float_nn.Sequential(nn.QuantLinear(32, 16, **formats), float_nn.LeakyReLU(0.9),
                                nn.QuantLinear(16, 8, **formats))
    model[0].weight[...] = rng.standard_normal((16, 32)) * 10 ** rng.uniform(-1.5, 1.5, (16, 1))
    x = lopsided(rng)
    with pq.calibrating(model, load_amax=True):
        model(x)
    pq.improve(model, [x], methods=["equalization"])
    middle = floats(float_nn.Sequential(model[0], model[1]), x)
    for layer, given in ((model[0], x), (model[2], middle)):
        np.testing.assert_allclose(layer.input_quantizer.amin, given.min(), rtol=1e-4)
        np.testing.assert_allclose(layer.input_quantizer.amax, given.max(), rtol=1e-4)
        quantizer = layer.weight_quantizer
        fresh = nn.TensorQuantizer(weight, if_quant=False, if_calib=True)
        fresh(layer.weight)
        fresh.load_calib_amax()
        for got, wanted in ((quantizer.amin, fresh.amin), (quantizer.amax, fresh.amax)):
            assert (got is None) == (wanted is None)
            if got is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("method", ["smoothquant", "awq", "weight_mse", "gptq", "adaround"])
@pytest.mark.parametrize("weight", [QuantDescriptor(4, block_sizes={-1: 24}), TWO_ENDS, tensor_quant.QUANT_DESC_MXFP4,
                                    QuantDescriptor((4, 3))], ids=str)
def test_other_formats_are_left_alone_with_a_word(rng: np.random.Generator, method: str,
                                                  weight: QuantDescriptor) -> None:
    model = float_nn.Sequential(nn.QuantLinear(32, 2, quant_desc_weight=weight))
    x = rng.standard_normal((5, 32)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(x)
    before = {name: np.array(array) for name, array in model.state_dict().items()}
    with pytest.warns(UserWarning, match=f"'{method}' skip layers.*: 0 .num_bits=") as told:
        assert pq.improve(model, [x], methods=[method]) == ()
    assert told[0].filename == __file__ and len(told) == 1
    after = model.state_dict()
    assert set(after) == set(before) and all(np.array_equal(array, after[name]) for name, array in before.items())


def test_nothing_is_said_by_default_nor_of_what_is_switched_off(rng: np.random.Generator) -> None:
    off, groups = nn.QuantLinear(32, 32), nn.QuantLinear(32, 2, quant_desc_weight=TWO_ENDS)
    off.weight_quantizer.disable()
    x = rng.standard_normal((5, 32)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pq.improve(float_nn.Sequential(off, groups), [x])
        pq.improve(float_nn.Sequential(off), [x], methods=["smoothquant", "gptq"])


@pytest.mark.parametrize("is_calibrated", [False, True])
@pytest.mark.parametrize("method", ["gptq", "awq", "smoothquant", "weight_mse", "adaround"])
def test_groups_get_what_the_array_functions_give(rng: np.random.Generator, method: str, is_calibrated: bool) -> None:
    layer = nn.QuantLinear(64, 24, bias=False, quant_desc_weight=GROUPS)
    layer.input_quantizer.disable()
    model = float_nn.Sequential(layer)
    weight, x, others = correlated(rng, rows=200)
    layer.weight[...] = weight
    if is_calibrated:
        with pq.calibrating(model, load_amax=True):
            model(x)
    before, expected = model(others), others @ weight.T
    gain, = pq.improve(model, [x], methods=[method])
    assert gain.layer == "0" and sqnr(expected, model(others)) > sqnr(expected, before) - 0.5
    assert gain.after == pytest.approx(sqnr(x @ weight.T, model(x)), abs=0.1)
    if method == "gptq":
        np.testing.assert_allclose(layer.weight, methods.gptq(weight, x, group_size=16), rtol=1e-6)
    if method in ("awq", "smoothquant"):
        wide, inverse = methods.awq(weight, x, group_size=16) if method == "awq" else methods.smoothquant(weight, x)
        np.testing.assert_allclose(layer.weight, wide, rtol=1e-5)
        np.testing.assert_allclose(layer.input_quantizer.pre_quant_scale, inverse, rtol=1e-5)
    if method in ("gptq", "adaround"):
        assert error(layer.weight, weight, others) < 0.7 * error(layer.weight_quantizer(weight), weight, others)
    amax = layer.weight_quantizer.amax
    if method == "weight_mse":
        np.testing.assert_allclose(amax, methods.weight_range(weight, x, group_size=16), rtol=1e-6)
    elif method == "awq":
        np.testing.assert_allclose(amax, methods.weight_range(wide, x * inverse, group_size=16), rtol=1e-5)
    elif amax is not None:
        rounded = weight if method in ("gptq", "adaround") else layer.weight
        np.testing.assert_allclose(amax, np.abs(rounded.reshape(24, 4, 16)).max(2), rtol=1e-6)

"""Quantised layers on integers: when they do it, how near they are, and that they never use stale weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import integer, nn
from pytorch_quantization_c.float_nn import Parameter
from pytorch_quantization_c.integer import Int
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from ..process import run_python
from . import oracle
from .cases import on_every_isa, seeds


def values(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def made(rng, cls, *args, **kwargs):
    layer = cls(*args, **kwargs)
    layer.weight[...] = values(rng, *layer.weight.shape)
    if layer.bias is not None:
        layer.bias[...] = values(rng, *layer.bias.shape)
    return layer


def fake(x, amax, bits=8, unsigned=False, narrow=False):
    """Fake quantised in float64, with the float32 scale."""
    f = Int(bits, unsigned, narrow)
    low, high = oracle.bounds(f)
    scale = np.float32(high) / np.asarray(amax, np.float32)
    return np.clip(np.rint(x * scale), low, high).astype(np.float64) / scale.astype(np.float64)


def check_two_ulp(y, expected):
    assert np.abs(y - expected).max() <= 2 * np.spacing(np.float32(np.abs(expected).max()))


def linear_in_float64(layer, x, amax=None, bits=8, unsigned=False):
    w = np.asarray(layer.weight)
    wide = fake(x, np.abs(x).max() if amax is None else amax, bits, unsigned) @ \
        fake(w, np.abs(w).max(1, keepdims=True)).T
    return wide if layer.bias is None else wide + np.asarray(layer.bias, np.float64)


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 40), st.integers(2, 8), st.booleans(), st.booleans(),
       seeds)
def test_linear_is_within_two_ulp_of_the_fake_quantised_layer(rows, k, outputs, bits, unsigned, calibrated, seed):
    descriptor = QuantDescriptor(num_bits=bits, unsigned=unsigned, **({"amax": 1.5} if calibrated else {}))

    def new():
        return made(np.random.default_rng(seed), nn.QuantLinear, k, outputs, bias=bool(seed % 2),
                    quant_desc_input=descriptor)

    def run():
        layer = new()
        y = layer(x)
        assert layer.execution == "int8"
        return y

    x = values(np.random.default_rng([seed, 1]), rows, k)
    x = np.abs(x) if unsigned else x
    expected = linear_in_float64(new(), x, 1.5 if calibrated else None, bits, unsigned)
    for y in on_every_isa(run):
        check_two_ulp(y, expected)


CONVOLUTIONS = [
    (nn.QuantConv1d, (6, 10, 3), {"padding": 2, "stride": 2}, (2, 6, 30)),
    (nn.QuantConv2d, (6, 10, 3), {"padding": 1}, (2, 6, 9, 11)),
    (nn.QuantConv2d, (6, 12, (3, 5)), {"padding": "same", "groups": 3, "dilation": 2}, (2, 6, 9, 11)),
    (nn.QuantConv2d, (6, 12, 3), {"padding": "valid", "bias": False}, (6, 9, 11)),
    (nn.QuantConv2d, (6, 12, 4), {"padding": "same"}, (1, 6, 9, 11)),
    (nn.QuantConv2d, (6, 12, 3), {"padding": 2, "padding_mode": "reflect"}, (1, 6, 9, 11)),
    (nn.QuantConv2d, (6, 12, 3), {"padding": 2, "padding_mode": "circular", "stride": 2}, (6, 9, 11)),
    (nn.QuantConv2d, (8, 8, 3), {"padding": 1, "groups": 8}, (2, 8, 9, 11)),
    (nn.QuantConv3d, (3, 5, 3), {"padding": 1, "stride": 2}, (2, 3, 5, 6, 7)),
    (nn.QuantConvTranspose1d, (6, 10, 3), {"padding": 1, "stride": 2, "output_padding": 1}, (2, 6, 8)),
    (nn.QuantConvTranspose2d, (6, 10, 3), {"padding": 1, "stride": 2}, (2, 6, 8, 5)),
    (nn.QuantConvTranspose2d, (6, 10, 3), {"stride": (2, 3), "dilation": 2}, (6, 8, 5)),
    (nn.QuantConvTranspose3d, (4, 5, 2), {"stride": 2}, (1, 4, 3, 4, 5)),
]


@pytest.mark.parametrize("cls, args, kwargs, shape", CONVOLUTIONS)
def test_convolutions_are_within_two_ulp_of_the_fake_quantised_layer(cls, args, kwargs, shape, rng):
    layer = made(rng, cls, *args, **kwargs)
    x = values(rng, *shape)
    y = layer(x)
    assert layer.execution == "int8"
    w = np.asarray(layer.weight)
    axis = 1 if layer.transposed else 0
    amax = np.abs(w).max(tuple(i for i in range(w.ndim) if i != axis), keepdims=True)
    bias = None if layer.bias is None else np.asarray(layer.bias, np.float64)
    check_two_ulp(y, layer._conv_forward(fake(x, np.abs(x).max()), fake(w, amax), bias))


def test_output_size_of_a_transposed_convolution(rng):
    layer, x = made(rng, nn.QuantConvTranspose2d, 4, 6, 3, stride=2, padding=1), values(rng, 1, 4, 5, 6)
    for size in [(9, 11), (10, 12), (9, 12)]:
        y = layer(x, output_size=size)
        assert layer.execution == "int8" and y.shape[2:] == size
        with integer.float_only():
            np.testing.assert_allclose(y, layer(x, output_size=size), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="requested an output size"):
        layer(x, output_size=(12, 12))


def test_weight_amax_per_tensor_and_calibrated(rng):
    for amax in (0.7, None):
        descriptor = QuantDescriptor(num_bits=8, **({} if amax is None else {"amax": amax}))
        layer, x = made(rng, nn.QuantLinear, 20, 6, bias=False, quant_desc_weight=descriptor), values(rng, 3, 20)
        y = layer(x)
        assert layer.execution == "int8"
        w = np.asarray(layer.weight)
        check_two_ulp(y, fake(x, np.abs(x).max()) @ fake(w, np.abs(w).max() if amax is None else amax).T)


@pytest.mark.parametrize("change", ["element", "assign", "amax", "bits", "narrow", "scale_amax", "load"])
def test_a_changed_weight_is_never_overlooked(change, rng):
    layer, x = made(rng, nn.QuantLinear, 300, 40), values(rng, 2, 300)
    if change == "amax":
        layer.weight_quantizer.amax = np.full((40, 1), 0.9, np.float32)
    before = layer(x)
    np.testing.assert_array_equal(layer(x), before)
    if change == "element":
        layer.weight[17, 299] += 1
    elif change == "assign":
        layer.weight = Parameter(values(rng, 40, 300))
    elif change == "amax":
        layer.weight_quantizer.amax[3, 0] = 0.5
    elif change == "bits":
        layer.weight_quantizer.num_bits = 4
    elif change == "narrow":
        layer.weight_quantizer.narrow_range = False
        layer.weight_quantizer.amax = np.full((40, 1), 0.5, np.float32)
    elif change == "scale_amax":
        layer.weight_quantizer._scale_amax = 0.5
    else:
        layer.load_state_dict({"weight": values(rng, 40, 300), "bias": values(rng, 40)})
    after = layer(x)
    assert layer.execution == "int8" and not np.array_equal(after, before)
    with integer.float_only():
        np.testing.assert_allclose(after, layer(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attribute, value", [("stride", (2, 2)), ("padding", (0, 1)), ("dilation", (2, 1)),
                                              ("padding_mode", "circular")])
def test_a_changed_geometry_is_never_overlooked(attribute, value, rng):
    layer, x = made(rng, nn.QuantConv2d, 3, 5, 3, padding=1), values(rng, 1, 3, 9, 8)
    layer(x)
    setattr(layer, attribute, value)
    y = layer(x)
    assert layer.execution == "int8"
    with integer.float_only():
        np.testing.assert_allclose(y, layer(x), rtol=1e-4, atol=1e-5)


def disable(quantizer):
    quantizer.disable()


REFUSALS = [
    (lambda layer: layer.input_quantizer.disable(), "the input quantiser is off"),
    (lambda layer: layer.weight_quantizer.disable_quant(), "the weight quantiser is off"),
    (lambda layer: layer.input_quantizer.enable_calib(), "the input quantiser collects"),
    (lambda layer: setattr(layer.input_quantizer, "num_bits", 16), "has not 2 to 8 bits"),
    (lambda layer: setattr(layer.weight_quantizer, "num_bits", (4, 3)), "has not 2 to 8 bits"),
    (lambda layer: setattr(layer.input_quantizer, "_axis", -1), "an amax for each channel"),
    (lambda layer: setattr(layer.input_quantizer, "amax", np.linspace(1, 2, 20, dtype=np.float32)),
     "an amax for each channel"),
    (lambda layer: setattr(layer.input_quantizer, "pre_quant_scale", 0.5), "pre_quant_scale"),
    (lambda layer: setattr(layer.input_quantizer, "forward", lambda x: x * 0), "has a forward of its own"),
    (lambda layer: layer.double(), "is float64"),
]


@pytest.mark.parametrize("change, why", REFUSALS)
def test_what_integers_cannot_do_is_done_on_floats(change, why, rng):
    layer, x = made(rng, nn.QuantLinear, 20, 6), values(rng, 3, 20)
    change(layer)
    if "float64" in why:
        x = x.astype(np.float64)
        why = "float64"
    try:
        y = layer(x)
    finally:
        assert layer.execution.startswith("float: ") and why in layer.execution
    with integer.float_only():
        np.testing.assert_array_equal(y, layer(x))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("amax", [None, 1.0, 0.0, np.nan, np.inf])
def test_special_values_give_what_floats_give(value, amax, rng):
    for layer, x in [(made(rng, nn.QuantLinear, 20, 6), values(rng, 3, 20)),
                     (made(rng, nn.QuantConv2d, 3, 6, 3, padding=1), values(rng, 2, 3, 8, 9))]:
        if amax is not None:
            layer.input_quantizer.amax = amax
        x.flat[7] = value
        y = layer(x)
        with integer.float_only():
            z = layer(x)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(z))
        np.testing.assert_allclose(y, z, rtol=1e-4, atol=1e-4)


def test_zeros_and_empty_batches(rng):
    for layer, shape in [(made(rng, nn.QuantLinear, 20, 6), (3, 20)),
                         (made(rng, nn.QuantConv2d, 3, 6, 3), (2, 3, 8, 9))]:
        x = np.zeros(shape, np.float32)
        y = layer(x)
        assert layer.execution == "int8"
        np.testing.assert_array_equal(y, np.broadcast_to(
            np.asarray(layer.bias).reshape((-1,) + (1,) * (len(shape) - 2)), y.shape))
        layer.input_quantizer.amax = 1.0
        empty = layer(x[:0])
        assert empty.shape == (0, *y.shape[1:]) and layer.execution == "float: empty input"


def test_wrong_shapes_raise_what_the_float_layer_raises(rng):
    layer = made(rng, nn.QuantConv2d, 3, 6, 3)
    for shape in [(2, 4, 8, 9), (8, 9), (1, 3, 2, 2)]:
        with pytest.raises(ValueError):
            layer(np.ones(shape, np.float32))


def test_a_method_of_a_subclass_is_not_passed_over(rng):
    class Doubled(nn.QuantLinear):
        def _linear(self, input, weight):
            return 2 * super()._linear(input, weight)

    layer, x = made(rng, Doubled, 20, 6), values(rng, 3, 20)
    y = layer(x)
    assert layer.execution == "float: a class of its own"
    check_two_ulp(y / 2, linear_in_float64(layer, x).astype(np.float32))


def test_the_switch_and_its_nesting(rng):
    layer, x = made(rng, nn.QuantLinear, 20, 6), values(rng, 3, 20)
    assert layer.execution == "auto"
    with integer.float_only():
        assert not integer.enabled()
        with integer.float_only(False):
            layer(x)
            assert layer.execution == "int8"
        layer(x)
        assert layer.execution == "float: integers are switched off"
    assert integer.enabled()


@pytest.mark.parametrize("value, execution", [("0", "float: integers are switched off"), ("1", "int8"), ("", "int8")])
def test_the_environment_variable(value, execution):
    code = ("import numpy as np; from pytorch_quantization_c import nn; layer = nn.QuantLinear(8, 4); "
            "layer(np.ones((1, 8), np.float32)); print(layer.execution)")
    found = run_python("-c", code, PQC_INTEGER=value)
    assert found.stdout.strip() == execution, found.stderr

"""Convolutions on quantised arrays, against loops over the kernel in float64."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

PLAIN = {1: nn.QuantConv1d, 2: nn.QuantConv2d, 3: nn.QuantConv3d}
TRANSPOSED = {1: nn.QuantConvTranspose1d, 2: nn.QuantConvTranspose2d, 3: nn.QuantConvTranspose3d}


def fake(x: Any, kept: list[int] | None = None) -> Any:
    return oracle.integer(x, oracle.largest(x, kept), narrow_range=False)[1]


def close(got: Any, wanted: Any) -> None:
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=2e-6 * max(1.0, np.abs(wanted).max(initial=0)))


@given(dims=st.integers(1, 3), groups=st.integers(1, 3), inputs=st.integers(1, 3), outputs=st.integers(1, 3),
       kernel=st.integers(1, 3), stride=st.integers(1, 2), dilation=st.integers(1, 2), padding=st.integers(0, 2),
       batch=st.integers(1, 2), bias=st.booleans(), seed=st.integers(0, 99))
def test_convolution(dims: int, groups: int, inputs: int, outputs: int, kernel: int, stride: int, dilation: int,
                     padding: int, batch: int, bias: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = PLAIN[dims](groups * inputs, groups * outputs, kernel, stride, padding, dilation, groups, bias)
    layer.weight[...] = rng.normal(size=layer.weight.shape)
    x = rng.normal(size=(batch, groups * inputs, *rng.integers(5, 8, dims))).astype(np.float32)
    before = x.copy()
    padded = np.pad(fake(x), [(0, 0), (0, 0), *[(padding, padding)] * dims])
    wanted = oracle.convolve(padded, fake(np.asarray(layer.weight), [0]), layer.bias, stride, dilation, groups)
    close(layer(x), wanted)
    oracle.same(x, before)


@given(dims=st.integers(1, 3), groups=st.integers(1, 3), inputs=st.integers(1, 3), outputs=st.integers(1, 3),
       kernel=st.integers(1, 3), stride=st.integers(1, 3), dilation=st.integers(1, 2), extra=st.integers(0, 1),
       bias=st.booleans(), seed=st.integers(0, 99))
def test_transposed_convolution_has_one_amax_for_each_index_of_axis_1(
        dims: int, groups: int, inputs: int, outputs: int, kernel: int, stride: int, dilation: int, extra: int,
        bias: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    extra = extra if stride > extra else 0
    layer = TRANSPOSED[dims](groups * inputs, groups * outputs, kernel, stride, 0, extra, groups, bias, dilation)
    layer.weight[...] = rng.normal(size=layer.weight.shape) * 3.0 ** np.arange(outputs).reshape(-1, *[1] * dims)
    x = rng.normal(size=(2, groups * inputs, *rng.integers(2, 5, dims))).astype(np.float32)
    wanted = oracle.convolve_transposed(fake(x), fake(np.asarray(layer.weight), [1]), layer.bias, stride, dilation,
                                        groups, extra)
    close(layer(x), wanted)


def test_calibrated_amax_of_a_transposed_weight_lies_on_axis_1() -> None:
    layer = nn.QuantConvTranspose2d(6, 4, 3, groups=2)
    layer.weight_quantizer.enable_calib()
    layer(np.ones((1, 6, 3, 3), np.float32))
    layer.weight_quantizer.load_calib_amax()
    oracle.same(layer.weight_quantizer.amax, oracle.largest(np.asarray(layer.weight), [1]))
    assert layer.weight_quantizer.amax.shape == (1, 2, 1, 1)


def test_output_size_picks_among_the_sizes_of_a_transposed_convolution(rng: np.random.Generator) -> None:
    layer = nn.QuantConvTranspose2d(3, 2, 3, stride=2)
    x = rng.normal(size=(1, 3, 4, 4)).astype(np.float32)
    weight = fake(np.asarray(layer.weight), [1])
    close(layer(x), oracle.convolve_transposed(fake(x), weight, layer.bias, 2))
    close(layer(x, output_size=(10, 10)), oracle.convolve_transposed(fake(x), weight, layer.bias, 2, output_padding=1))
    with pytest.raises(ValueError, match="output size"):
        layer(x, output_size=(12, 12))


def test_an_input_without_a_batch_is_quantised_as_a_whole(rng: np.random.Generator) -> None:
    layer = nn.QuantConv2d(2, 3, 3)
    x = rng.normal(size=(2, 6, 5)).astype(np.float32)
    close(layer(x), oracle.convolve(fake(x)[None], fake(np.asarray(layer.weight), [0]), layer.bias)[0])


def test_state_dict_of_the_float_layer_loads_and_back() -> None:
    theirs, ours = float_nn.Conv2d(2, 4, 3, groups=2), nn.QuantConv2d(2, 4, 3, groups=2)
    ours.load_state_dict(theirs.state_dict())
    oracle.same(ours.weight, theirs.weight)
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == ["weight", "bias"] and isinstance(ours, float_nn.Conv2d)


def test_disabled_quantisers_leave_the_float_layer(rng: np.random.Generator) -> None:
    layer = nn.QuantConv1d(2, 3, 2)
    x = rng.normal(size=(1, 2, 6)).astype(np.float32)
    layer.input_quantizer.disable()
    layer.weight_quantizer.disable()
    close(layer(x), oracle.convolve(x, np.asarray(layer.weight), layer.bias))


def test_channels_that_do_not_fit_are_refused() -> None:
    layer = nn.QuantConv2d(3, 4, 3)
    with pytest.raises((ValueError, RuntimeError), match="3"):
        layer(np.ones((1, 2, 5, 5), np.float32))
    with pytest.raises(ValueError, match="divisible"):
        nn.QuantConv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="zeros"):
        nn.QuantConvTranspose1d(3, 4, 3, padding_mode="reflect")


def test_descriptors_reach_the_quantisers() -> None:
    layer = nn.QuantConv2d(3, 4, 3, quant_desc_input=QuantDescriptor(num_bits=4, unsigned=True),
                           quant_desc_weight=QuantDescriptor(num_bits=6, axis=1))
    assert (layer.input_quantizer.num_bits, layer.input_quantizer.unsigned) == (4, True)
    assert (layer.weight_quantizer.num_bits, layer.weight_quantizer.axis) == (6, 1)

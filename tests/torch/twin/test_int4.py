"""The twin's linear layers with 4-bit weights in groups: the bits of the layers on arrays, frozen and in files."""
import numpy as np
import pytest
import torch

from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.model.freeze import freeze, load_frozen, save_frozen
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from pytorch_quantization_c.torch import nn as twin_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor as TwinDescriptor


def pair(rng, axis):
    """A layer of each front with the same weight."""
    made = []
    for nn, descriptor in ((array_nn, QuantDescriptor), (twin_nn, TwinDescriptor)):
        made.append(nn.QuantLinear(96, 20, quant_desc_input=descriptor(8, axis=axis),
                                   quant_desc_weight=descriptor(4, block_sizes={-1: 32})))
    array, twin = made
    array.weight[...], array.bias[...] = rng.standard_normal((20, 96)), rng.standard_normal(20)
    with torch.no_grad():
        twin.weight.copy_(torch.from_numpy(np.array(array.weight)))
        twin.bias.copy_(torch.from_numpy(np.array(array.bias)))
    return array, twin


@pytest.mark.parametrize("axis", [None, 0])
def test_both_fronts_have_the_same_bits(axis, rng, tmp_path):
    array, twin = pair(rng, axis)
    x = rng.standard_normal((5, 96)).astype(np.float32)
    want = array(x)
    with torch.no_grad():
        np.testing.assert_array_equal(twin(torch.from_numpy(x)).numpy(), want)
        assert array.execution == twin.execution == "int8"
        freeze(twin, keep_float=False)
        np.testing.assert_array_equal(twin(torch.from_numpy(x)).numpy(), want)
        save_frozen(twin, tmp_path / "layer.safetensors")
        other, second = pair(np.random.default_rng(5), axis)
        np.testing.assert_array_equal(load_frozen(other, tmp_path / "layer.safetensors")(x), want)
        loaded = load_frozen(second, tmp_path / "layer.safetensors")
        np.testing.assert_array_equal(loaded(torch.from_numpy(x)).numpy(), want)


def test_gradients_go_through_floats(rng):
    _, twin = pair(rng, None)
    twin(torch.ones(2, 96)).sum().backward()
    assert twin.execution.startswith("float") and twin.weight.grad is not None


def test_pointwise_convolutions_zero_points_and_ranges_of_channels_have_the_bits_of_arrays(rng):
    in_groups = {"quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 32})}
    ranges = np.float32([1, 2, 4, 8] * 10).reshape(1, 40, 1, 1)
    for settings, amax in ((in_groups, None), ({**in_groups, "stride": 2, "padding": 1}, None),
                           ({**in_groups, "quant_desc_input": QuantDescriptor(8, zero_point=True)}, None),
                           ({"quant_desc_weight": QuantDescriptor(4, axis=0), "quant_desc_input": QuantDescriptor(
                               8, axis=1)}, ranges)):
        array, twin = array_nn.QuantConv2d(40, 20, 1, **settings), twin_nn.QuantConv2d(40, 20, 1, **settings)
        twin.load_state_dict({name: torch.from_numpy(np.array(each)) for name, each in array.state_dict().items()})
        if amax is not None:
            array.input_quantizer.amax, twin.input_quantizer.amax = amax, torch.from_numpy(amax)
        x = rng.uniform(-1, 3, (2, 40, 5, 4)).astype(np.float32)
        with torch.no_grad():
            np.testing.assert_array_equal(twin(torch.from_numpy(x)).numpy(), array(x))
            assert twin.execution == array.execution == "int8"
            np.testing.assert_array_equal(twin.weight_quantizer(twin.weight).numpy(),
                                          array.weight_quantizer(array.weight))

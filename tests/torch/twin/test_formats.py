"""Formats of few bits on tensors: the NumPy package's bits, gradients straight through, states and models across."""
from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c import formats as array_formats
from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.torch import formats, nn, tensor_quant
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

CONSTANTS = [name for name in tensor_quant.__all__ if name.startswith("QUANT_DESC_")]
MX = {-1: 32, "type": "dynamic", "scale_bits": (8, 0)}
NV = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONSTANTS)
def test_tensors_have_the_bits_of_arrays(name: str, dtype: Any) -> None:
    torch.manual_seed(0)
    descriptor, x = getattr(tensor_quant, name), torch.randn(6, 70).to(dtype)
    x = x.abs() if descriptor.unsigned else x
    wanted = array_nn.TensorQuantizer(descriptor)(x.float().numpy())
    got = nn.TensorQuantizer(descriptor)(x)
    assert got.dtype == dtype
    torch.testing.assert_close(got, torch.from_numpy(wanted).to(dtype), rtol=0, atol=0)
    codes, found = formats.quantize(x.float(), descriptor)
    torch.testing.assert_close(formats.dequantize(codes, found), torch.from_numpy(wanted), rtol=0, atol=0)
    np.testing.assert_array_equal(codes.numpy(), array_formats.quantize(x.float().numpy(), descriptor)[0])


def gradient(descriptor: Any, x: Any, **buffers: Any) -> Any:
    quantizer = nn.TensorQuantizer(descriptor)
    for name, value in buffers.items():
        setattr(quantizer, name, value)
    leaf = torch.tensor(x, requires_grad=True)
    quantizer(leaf).sum().backward()
    return leaf.grad.tolist()


def test_gradients() -> None:
    x = [[-3.0, -1.0, 0.5, 2.0]]
    assert gradient(QuantDescriptor((2, 1), amax=1.5), x) == [[0, 1, 1, 0]]
    assert gradient(QuantDescriptor(8, zero_point=True, amin=-1.0, amax=2.0), x) == [[0, 1, 1, 1]]
    assert gradient(QuantDescriptor(8, zero_point=True), x) == [[1, 1, 1, 1]]
    assert gradient(QuantDescriptor((2, 1), block_sizes=MX), x) == [[1, 1, 1, 1]]
    assert gradient(QuantDescriptor(4, block_sizes={-1: 2}), x, amax=[[2.0, 1.0]]) == [[0, 1, 1, 0]]
    assert gradient(QuantDescriptor((2, 1), block_sizes=NV, amax=1.0), x) == [[0, 1, 1, 0]]
    assert gradient(QuantDescriptor((2, 1), block_sizes=NV, amax=1.0, scale_amax=2.0), x) == [[0, 1, 1, 1]]


def test_training_through_blocks_lowers_the_loss() -> None:
    torch.manual_seed(0)
    x, wanted = torch.randn(64, 32), torch.randn(64, 4)
    layer = nn.QuantLinear(32, 4, quant_desc_input=tensor_quant.QUANT_DESC_MXFP8,
                           quant_desc_weight=tensor_quant.QUANT_DESC_NVFP4_WEIGHT)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.mse_loss(layer(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_calibrated_tensors_and_models_across() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 64)
    model = torch.nn.Sequential(nn.QuantLinear(
        64, 8, quant_desc_input=QuantDescriptor(8, zero_point=True),
        quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32})))
    with twin.calibrating(model, load_amax=True):
        model(x)
    layer: Any = model[0]
    assert layer.input_quantizer.amin.item() == x.min().item() and layer.weight_quantizer.amax.shape == (8, 2)
    torch.testing.assert_close(copy.deepcopy(model)(x), model(x), rtol=0, atol=0)
    again = torch.nn.Sequential(nn.QuantLinear(
        64, 8, quant_desc_input=QuantDescriptor(8, zero_point=True),
        quant_desc_weight=QuantDescriptor(4, block_sizes={-1: 32})))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    arrays = twin.to_numpy(model)
    np.testing.assert_allclose(arrays(x.numpy()), model(x).detach().numpy(), atol=1e-5)
    back = twin.from_numpy(arrays)
    torch.testing.assert_close(back(x), model(x), rtol=0, atol=0)


def test_a_zero_point_runs_on_integers() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 9, 9).clamp(min=-0.1)
    layer: Any = nn.QuantConv2d(6, 8, 3, padding=1, quant_desc_input=QuantDescriptor(8, zero_point=True))
    with torch.no_grad():
        got = layer(x)
        assert layer.execution == "int8"
        weight = nn.TensorQuantizer(tensor_quant.QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL)(layer.weight)
        ends = x.min(), x.max()
        wanted = torch.nn.functional.conv2d(formats.fake_range_quant(x, *ends).double(), weight.double(),
                                            layer.bias.double(), padding=1)
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=3e-6)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="tensor of floats"):
        formats.fake_block_quant(torch.ones(3, dtype=torch.int64), 4, {-1: 2})
    with pytest.raises(TypeError, match="`block_sizes`"):
        formats.fake_block_quant(torch.ones(3), 4, None)
    with pytest.raises(ValueError, match="one for each block"):
        formats.fake_block_quant(torch.ones(3), 4, {-1: 2}, torch.ones(3))
    with pytest.raises(ValueError, match="no `amax` beside dynamic"):
        formats.fake_block_quant(torch.ones(32), (2, 1), tensor_quant.QUANT_DESC_MXFP4.block_sizes, 6.0)
    for arguments in ({"amax": 6.0}, {"amin": -1.0}):
        with pytest.raises(ValueError, match="`amin` and `amax` together"):
            formats.quantize(torch.ones(3), tensor_quant.QUANT_DESC_8BIT_AFFINE_PER_TENSOR, **arguments)
    with pytest.raises(ValueError, match=r"kernel \(3, 3\).*blocks of 32"):
        nn.QuantConv2d(64, 32, 3, quant_desc_weight=tensor_quant.QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT)


@pytest.mark.parametrize("name", ["q4_0", "q8_0", "mxfp4"])
def test_blocks_of_ggml(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 64, dtype=torch.bfloat16)
    blocks = formats.to_ggml(name, x)
    expected = array_formats.to_ggml(name, x.float().numpy())
    np.testing.assert_array_equal(blocks.numpy(), expected)
    np.testing.assert_array_equal(formats.from_ggml(name, blocks).numpy(), array_formats.from_ggml(name, expected))


def test_functions_take_the_arguments_of_arrays() -> None:
    for name in ("ScaledFloatFunction", "FakeBlockQuantFunction", "FakeRangeQuantFunction"):
        ours, theirs = (list(inspect.signature(getattr(each, name).forward).parameters) for each in
                        (array_formats, formats))
        assert ours == theirs


def test_embeddings_products_and_sums() -> None:
    torch.manual_seed(0)
    layer = nn.QuantEmbedding(9, 6)
    tokens = torch.tensor([[1, 8], [0, 1]])
    table = layer.weight_quantizer(layer.weight)
    torch.testing.assert_close(layer(tokens), table[tokens], rtol=0, atol=0)
    layer(tokens).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad[1].tolist() == [2.0] * 6
    arrays = twin.to_numpy(layer)
    np.testing.assert_array_equal(arrays(tokens.numpy()), layer(tokens).detach().numpy())
    model = torch.nn.Sequential(torch.nn.Embedding(9, 6), torch.nn.Linear(6, 9, bias=False))
    model[1].weight = model[0].weight
    twin.replace(model, custom_quant_modules=[(torch.nn, "Embedding", nn.QuantEmbedding)])
    assert isinstance(model[0], nn.QuantEmbedding) and model[1].weight is model[0].weight
    x, quantizer = torch.randn(3, 4), nn.TensorQuantizer()
    torch.testing.assert_close(nn.functional.matmul(x, x.T, quantizer), quantizer(x) @ x.T)
    torch.testing.assert_close(nn.functional.add(x, x, None, quantizer), x + quantizer(x))
    with pytest.raises(ValueError, match="max_norm"):
        nn.QuantEmbedding(9, 6, max_norm=1.0)

"""Grouped transposed convolutions of tensors with a scale for each output channel have the bits of those of arrays."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch import replace


def test_as_layers_of_arrays(rng: np.random.Generator) -> None:
    settings: Any = dict(stride=2, groups=2, quant_desc_weight=QuantDescriptor(8, axis=(0, 1)))
    layer: Any = quant_nn.QuantConvTranspose2d(4, 6, 3, **settings)
    other: Any = array_nn.QuantConvTranspose2d(4, 6, 3, **settings)
    with torch.no_grad():
        layer.weight.mul_(torch.from_numpy(rng.uniform(0.1, 10, (4, 3, 1, 1)).astype(np.float32)))
    other.weight[...], other.bias[...] = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    x = rng.standard_normal((2, 4, 5, 4)).astype(np.float32)
    with torch.no_grad():
        y = layer(torch.from_numpy(x))
    np.testing.assert_array_equal(y.numpy(), other(x))
    assert layer.execution == other.execution == "int8"
    fake = layer.weight_quantizer(layer.weight)
    amax = layer.weight.detach().reshape(2, 2, 3, -1).abs().amax((1, 3)).repeat_interleave(2, 0)[:, :, None, None]
    scale = torch.full_like(amax, 127) / amax
    assert torch.equal(fake, torch.round(layer.weight * scale).clamp(-128, 127) / scale)
    fake.sum().backward()
    assert layer.weight.grad is not None and bool((layer.weight.grad == 1).all())


def test_replaced_layers(rng: np.random.Generator) -> None:
    net = torch.nn.Sequential(torch.nn.ConvTranspose1d(4, 4, 2, groups=4))
    with torch.no_grad():
        net[0].weight.mul_(torch.tensor([1.0, 10.0, 100.0, 1000.0])[:, None, None])
    x = torch.from_numpy(rng.standard_normal((1, 4, 6)).astype(np.float32))
    wanted = net(x)
    replace(net, quant_desc_weight=QuantDescriptor(8, axis=(0, 1)))
    with torch.no_grad():
        found = net(x)
    assert net[0].execution == "int8"
    for channel in range(4):
        assert (found - wanted)[:, channel].abs().max() <= 0.02 * wanted[:, channel].abs().max()

"""LSTM layers with projections against torch's own, and against those of arrays."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from pytorch_quantization_c.torch import calibrating, replace
from pytorch_quantization_c.torch import nn as quant_nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch: a slower path
OPTIONS = [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_without_quantising_as_torch(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.LSTM(5, 7, proj_size=3, **options))
    x = torch.randn(4, 3, 5)
    wanted, (h, c) = net(x)
    replace(net, custom_quant_modules=[(torch.nn, "LSTM", quant_nn.QuantLSTM)])
    layer: Any = net[0]
    assert type(layer) is quant_nn.QuantLSTM and layer.proj_size == 3
    with calibrating(net, load_amax=True):
        found, (h1, c1) = net(x)
    for each, other in ((found, wanted), (h1, h), (c1, c)):
        torch.testing.assert_close(each, other, atol=1e-6, rtol=1e-5)
    quantised, _ = net(x)
    assert 0 < float((quantised - wanted).detach().abs().max()) < 0.03
    quantised.sum().backward()
    assert float(layer.weight_hr_l0.grad.abs().sum()) > 0


def test_as_layers_of_arrays(rng: np.random.Generator) -> None:
    fine: Any = dict(quant_desc_input=QuantDescriptor(16, amax=3.0), quant_desc_weight=QuantDescriptor(16, axis=0))
    layer, other = quant_nn.QuantLSTM(5, 7, proj_size=3, **fine), array_nn.QuantLSTM(5, 7, proj_size=3, **fine)
    other.load_state_dict({name: each.numpy() for name, each in layer.state_dict().items()})
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    y, (h, c) = layer(torch.from_numpy(x))
    wanted, (h1, c1) = other(x)
    for each, array in ((y, wanted), (h, h1), (c, c1)):
        np.testing.assert_allclose(each.detach().numpy(), array, atol=1e-3)

"""A range that is put into `_amax` counts, as in the original, whether a buffer of that name was there or not."""
from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.nn import TensorQuantizer

X = torch.tensor([4.0, 1.0])
WANTED = torch.tensor([2.0, 64 / 63.5])     # 8 bits, amax 2: steps of 1 / 63.5
VALUES: dict[str, Any] = {"tensor": lambda: torch.tensor(2.0), "half": lambda: torch.tensor([2.0]).half(),
                          "integer": lambda: torch.tensor(2), "number": lambda: 2.0,
                          "parameter": lambda: nn.Parameter(torch.tensor([2.0]))}


@pytest.mark.parametrize("kind", VALUES)
def test_a_range_assigned_to_amax_is_used(kind: str) -> None:
    quantizer = TensorQuantizer()
    quantizer._amax = VALUES[kind]()
    fresh = TensorQuantizer()
    fresh.load_state_dict(quantizer.state_dict())
    file = io.BytesIO()
    torch.save(quantizer, file)
    file.seek(0)
    for each in (quantizer, copy.deepcopy(quantizer), torch.load(file, weights_only=False), fresh):
        assert torch.equal(each(X), WANTED)
        assert "amax=2.0000" in each.extra_repr() and each.amax.item() == 2 and "_amax" in each.state_dict()


def test_a_parameter_stays_one_and_is_trained() -> None:
    quantizer = TensorQuantizer()
    parameter = quantizer._amax = nn.Parameter(torch.tensor(1.0))
    assert [name for name, _ in quantizer.named_parameters()] == ["_amax"]
    with torch.no_grad():
        parameter.fill_(2.0)
    assert torch.equal(quantizer(X), WANTED)
    quantizer.amax = 3.0
    assert quantizer.amax is parameter and parameter.item() == 3
    with twin.calibrating(quantizer, load_amax=True):
        quantizer(X)
    assert quantizer.amax is parameter and parameter.item() == 4 and parameter.requires_grad


@pytest.mark.parametrize("kind", VALUES)
def test_integer_layers_and_numpy_models_use_it(kind: str) -> None:
    layer, like = quant_nn.QuantLinear(8, 4), quant_nn.QuantLinear(8, 4)
    like.load_state_dict(layer.state_dict())
    like.input_quantizer.amax = 2.0
    x = torch.randn(5, 8) * 3
    with torch.no_grad():
        layer(x)
        layer.input_quantizer._amax = VALUES[kind]()
        assert torch.equal(layer(x), like(x)) and layer.execution == "int8"
        assert torch.allclose(torch.from_numpy(twin.to_numpy(layer)(x.numpy())), like(x), atol=1e-5)

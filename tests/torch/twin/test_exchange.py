"""Models go from torch to the NumPy package and back with everything that is in them."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pytorch_quantization_c import float_nn
from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.integer import float_only
from pytorch_quantization_c.torch import from_numpy, nn, to_numpy
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

HISTOGRAM = QuantDescriptor(calib_method="histogram", num_bits=7, name="in")
LEARNT = QuantDescriptor(learn_amax=True, amax=2.0)

MODELS: dict[str, Any] = {
    "network": (lambda: torch.nn.Sequential(
        nn.QuantConv2d(1, 4, 3, stride=2, padding=1, quant_desc_input=HISTOGRAM), torch.nn.ReLU(), nn.QuantMaxPool2d(2),
        nn.QuantInstanceNorm2d(4, affine=True, track_running_stats=True), torch.nn.Flatten(),
        nn.QuantLinear(16, 5, bias=False, quant_desc_input=LEARNT)), (2, 1, 8, 8)),
    "transposed": (lambda: nn.QuantConvTranspose1d(3, 4, 3, stride=2, output_padding=1, groups=1), (2, 3, 7)),
    "pools": (lambda: torch.nn.Sequential(nn.QuantAvgPool2d(2, ceil_mode=True), nn.QuantAdaptiveAvgPool2d((2, 1))),
              (2, 3, 7, 7)),
    "lstm": (lambda: nn.QuantLSTM(4, 5, 2, bidirectional=True, batch_first=True), (3, 6, 4)),
    "gru": (lambda: nn.QuantGRU(4, 5, 2, bidirectional=True), (3, 6, 4)),
    "floats": (lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.GELU(),
                                           torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(18, 3)),
               (2, 1, 5, 5)),
}


def quantizers(model: Any) -> list[Any]:
    return [each for each in model.modules() if isinstance(each, nn.TensorQuantizer | array_nn.TensorQuantizer)]


def collect(model: Any, x: Any) -> None:
    for each in quantizers(model):
        each.disable_quant()
        each.enable_calib()
    model(x)
    for each in quantizers(model):
        each.enable_quant()
        each.disable_calib()


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name: str) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make().eval(), torch.randn(shape)
    with torch.no_grad(), float_only():
        collect(model, x)
        for each in quantizers(model)[::2]:
            each.load_calib_amax()
        wanted = first(model(x)).numpy()
        there = to_numpy(model)
        np.testing.assert_allclose(first(there(x.numpy())), wanted, rtol=0, atol=2e-2 * np.abs(wanted).max())
        assert np.abs(first(there(x.numpy())) - wanted).mean() < 2e-3 * np.abs(wanted).max()
        back = from_numpy(there)
        assert torch.equal(first(back(x)), torch.from_numpy(wanted)) and type(back) is type(model)
    assert not there.training and not back.training
    assert list(there.state_dict()) == list(back.state_dict()) == list(model.state_dict())
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(there.state_dict()[key], value.numpy())
    assert [each.extra_repr() for each in quantizers(there)] == [each.extra_repr() for each in quantizers(model)]
    for mine, other in zip(quantizers(model), quantizers(there), strict=True):
        np.testing.assert_array_equal(other._calibrator.compute_amax(), mine._calibrator.compute_amax().numpy())


def test_copies_not_views() -> None:
    layer = nn.QuantLinear(3, 2)
    before = layer.weight.detach().clone()
    there = to_numpy(layer)
    there.weight[...] = 0
    from_numpy(there).weight.data.fill_(1)
    assert torch.equal(layer.weight, before) and not there.weight.any()


def test_shared_parameters_stay_shared_and_frozen_ones_frozen() -> None:
    first, second = nn.QuantLinear(3, 3), nn.QuantLinear(3, 3)
    second.weight, first.bias.requires_grad = first.weight, False
    there = to_numpy(torch.nn.Sequential(first, second))
    assert there[0].weight is there[1].weight and not there[0].bias.requires_grad and there[1].bias.requires_grad


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.QuantLinear(4, 3)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.fc(x))


class ArrayNet(float_nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.fc = array_nn.QuantLinear(4, width)

    def forward(self, x: Any) -> Any:
        return np.maximum(self.fc(x), 0)


def test_own_classes_go_into_a_model() -> None:
    model, x = TorchNet(), torch.randn(5, 4)
    model.fc.input_quantizer.amax = 0.5
    model.fc.weight_quantizer.num_bits = 3
    with pytest.raises(TypeError, match="the model .* TorchNet: make a model"):
        to_numpy(model)
    there = ArrayNet()
    assert to_numpy(model, there) is there and there.fc.weight_quantizer.num_bits == 3
    with torch.no_grad():
        np.testing.assert_array_equal(there(x.numpy()), model(x).numpy())
        assert torch.equal(from_numpy(there, TorchNet())(x), model(x))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fc.weight of shape \(3, 4\), got \(2, 4\)"):
        to_numpy(TorchNet(), ArrayNet(2))
    with pytest.raises(ValueError, match="to have a module 'fc'"):
        to_numpy(TorchNet(), float_nn.Sequential())
    with pytest.raises(TypeError, match="0 to be a layer that both packages have, got Fold"):
        to_numpy(torch.nn.Sequential(torch.nn.Fold((4, 4), 2)))


@pytest.mark.parametrize("convert", [to_numpy, from_numpy])
@pytest.mark.parametrize("other", [None, 5, torch.ones(3), np.ones(3)], ids=lambda value: type(value).__name__)
def test_what_is_no_module(convert: Any, other: Any) -> None:
    with pytest.raises(TypeError, match="`model` to be a module"):
        convert(other)
    with pytest.raises(TypeError, match="`into` to be a module"):
        convert(nn.QuantLinear(3, 2), into=other if other is not None else "x")

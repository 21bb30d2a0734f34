"""With gradients off the layers compute on integers, and give what fake quantisation gives in float64."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pytorch_quantization_c.integer import float_only
from pytorch_quantization_c.torch import nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from ... import oracle


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def fake(x: torch.Tensor, bits: int, kept: Any = None) -> torch.Tensor:
    """Fake quantised by the formula, as float64."""
    array = x.detach().numpy()
    return torch.from_numpy(oracle.integer(array, oracle.largest(array, kept), bits, narrow_range=False)[1]).double()


LAYERS: dict[str, Any] = {
    "linear": (lambda **k: nn.QuantLinear(33, 20, **k), (7, 33), [0], F.linear, {}),
    "conv1d": (lambda **k: nn.QuantConv1d(4, 6, 3, groups=2, padding=1, **k), (2, 4, 9), [0], F.conv1d,
               {"padding": 1, "groups": 2}),
    "conv2d": (lambda **k: nn.QuantConv2d(3, 5, 3, stride=2, dilation=2, **k), (2, 3, 11, 11), [0], F.conv2d,
               {"stride": 2, "dilation": 2}),
    "conv3d": (lambda **k: nn.QuantConv3d(2, 3, 3, padding="same", **k), (2, 2, 4, 5, 6), [0], F.conv3d,
               {"padding": "same"}),
    "transposed": (lambda **k: nn.QuantConvTranspose2d(3, 5, 3, stride=2, padding=1, **k), (2, 3, 6, 6), [1],
                   F.conv_transpose2d, {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_as_in_float64(name: str, bits: int) -> None:
    make, shape, channels, function, options = LAYERS[name]
    weights = QuantDescriptor(num_bits=bits, axis=channels[0])
    layer, x = make(quant_desc_input=QuantDescriptor(num_bits=bits), quant_desc_weight=weights), torch.randn(shape)
    wanted = function(fake(x, bits), fake(layer.weight, bits, channels), layer.bias.double(), **options).detach()
    with torch.no_grad():
        got = layer(x)
    assert layer.execution == "int8" and got.dtype == torch.float32 and got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 2 * np.spacing(np.float32(wanted.abs().max()))
    with torch.inference_mode():
        assert torch.equal(layer(x.transpose(-1, -2).contiguous().transpose(-1, -2)), got)


def test_an_amax_for_each_channel_of_the_input_is_computed_on_floats() -> None:
    layer, x = nn.QuantLinear(8, 4), torch.randn(3, 8)
    layer.input_quantizer.amax = torch.linspace(1, 2, 8)
    with torch.no_grad():
        got = layer(x)
    assert layer.execution == "float: the input has an amax for each channel, and they are not powers of two apart"
    wanted = F.linear(layer.input_quantizer(x), layer.weight_quantizer(layer.weight), layer.bias)
    assert torch.equal(got, wanted.detach())


def test_a_changed_weight_or_range_is_noticed() -> None:
    layer, x = nn.QuantLinear(8, 4), torch.randn(3, 8)
    with torch.no_grad():
        first = layer(x)
        layer.weight.mul_(2)
        assert layer.execution == "int8"
        np.testing.assert_allclose((layer(x) - layer.bias).numpy(), 2 * (first - layer.bias).numpy(), rtol=1e-5)
        layer.weight_quantizer.amax = np.full((4, 1), 0.1, np.float32)
        narrow = layer(x)
        with float_only():
            np.testing.assert_allclose(layer(x).numpy(), narrow.numpy(), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(narrow, first)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda layer: layer.input_quantizer.disable(), "input quantiser is off"),
    (lambda layer: layer.input_quantizer.register_forward_hook(lambda *_: None), "input quantiser has hooks"),
    (lambda layer: layer.weight_quantizer.enable_calib(), "weight quantiser collects"),
    (lambda layer: setattr(layer.weight_quantizer, "num_bits", 9), "weight has not 2 to 8 bits"),
    (lambda layer: layer.double(), "not all float32"),
    (lambda layer: setattr(layer.weight_quantizer, "amax", [1.0, 2.0]), "neither per-tensor nor per-output-channel")])
def test_otherwise_on_floats(change: Any, reason: str) -> None:
    layer = nn.QuantLinear(2, 2)
    change(layer)
    with torch.no_grad():
        assert layer._engine.run(layer, torch.randn(3, 2)) is None
    assert layer.execution.startswith("float: ") and reason in layer.execution


def test_gradients_autocast_and_the_switch_mean_floats() -> None:
    layer, x = nn.QuantLinear(8, 4), torch.randn(3, 8)
    layer(x)
    assert layer.execution == "float: gradients are on"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16 and layer.execution == "float: autocast is on"
    with torch.no_grad(), float_only():
        layer(x)
        assert layer.execution == "float: integers are switched off"


def test_a_subclass_with_its_own_product_is_heard() -> None:
    class Doubled(nn.QuantLinear):
        def _linear(self, input: Any, weight: Any) -> Any:
            return 2 * super()._linear(input, weight)

    layer, x = Doubled(8, 4), torch.randn(3, 8)
    with torch.no_grad():
        assert torch.equal(layer(x), 2 * F.linear(*layer._quant(x), layer.bias))
    assert layer.execution == "float: a class of its own"


def test_copies_carry_no_integers() -> None:
    layer, x = nn.QuantConv2d(3, 4, 3), torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        wanted = layer(x)
        for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert layer._engine.cached is not None and again._engine.cached is None
            assert torch.equal(again(x), wanted) and again.execution == "int8"

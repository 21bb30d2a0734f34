"""Quantised layers of your own: the mixins, the default descriptors, conversion."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.nn.modules import _utils
from pytorch_quantization_c.nn.modules._utils import QuantInputMixin, QuantMixin, pop_quant_desc_in_kwargs
from pytorch_quantization_c.tensor_quant import QUANT_DESC_8BIT_PER_TENSOR, QuantDescriptor


class QuantScale(float_nn.Module, QuantMixin):
    """A layer as a user would write it: y = x * weight."""

    default_quant_desc_weight = QuantDescriptor(num_bits=4, axis=0)

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__()
        self.weight = float_nn.Parameter(np.linspace(-1, 1, size, dtype=np.float32))
        quant_desc_input, quant_desc_weight = pop_quant_desc_in_kwargs(self.__class__, **kwargs)
        self.init_quantizer(quant_desc_input, quant_desc_weight)

    def forward(self, x: Any) -> Any:
        return self._input_quantizer(x) * self._weight_quantizer(self.weight)


class QuantReLU(float_nn.ReLU, QuantInputMixin):
    def __init__(self, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__(inplace)
        self.init_quantizer(pop_quant_desc_in_kwargs(self.__class__, input_only=True, **kwargs))

    def forward(self, input: Any) -> Any:
        return super().forward(self._input_quantizer(input))


class Late(float_nn.Module, QuantMixin):
    def make(self) -> None:
        self.init_quantizer(QuantDescriptor(), QuantDescriptor())


class LateInput(float_nn.Module, QuantInputMixin):
    def make(self) -> None:
        self.init_quantizer(QuantDescriptor())


class Lists(float_nn.Module, QuantMixin):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.init_quantizer(QuantDescriptor(), QuantDescriptor(axis=0), num_layers=count)


def test_a_layer_of_ones_own_quantises_and_shows_its_quantisers() -> None:
    layer = QuantScale(3)
    np.testing.assert_allclose(layer(np.float32([1.0, 0.5, 0.25])), [-1, 0, 32 / 127], rtol=1e-6)
    assert "(_weight_quantizer): TensorQuantizer(4bit fake axis=0" in repr(layer)
    assert [name for name, _ in layer.named_modules()] == ["", "_input_quantizer", "_weight_quantizer"]
    np.testing.assert_array_equal(QuantReLU()(np.float32([-1, 1])), [0, 1])


def test_lists_of_quantisers() -> None:
    layer = Lists(3)
    assert len(layer._input_quantizers) == len(layer._weight_quantizers) == 3
    assert [quantizer.axis for quantizer in layer._weight_quantizers] == [0, 0, 0]
    assert len({id(quantizer) for quantizer in layer.modules()}) == 1 + 2 + 6


@pytest.mark.parametrize("layer", [Late(), LateInput()])
def test_quantisers_are_made_in_init_alone(layer: Any) -> None:
    with pytest.raises(TypeError, match="by __init__ of a quantised layer, not by make"):
        layer.make()


@pytest.mark.parametrize("which", ["input", "weight"])
def test_real_quantisation_is_refused(which: str) -> None:
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        nn.QuantLinear(2, 2, **{f"quant_desc_{which}": QuantDescriptor(fake_quant=False)})
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        nn.QuantMaxPool2d(2, quant_desc_input=QuantDescriptor(fake_quant=False))


def test_unused_keywords_are_named() -> None:
    with pytest.raises(TypeError, match="Unused keys: device; QuantLinear knows quant_desc_input and"):
        nn.QuantLinear(2, 2, device="cpu")
    with pytest.raises(TypeError, match="Unused keys: quant_desc_weight"):
        pop_quant_desc_in_kwargs(nn.QuantMaxPool2d, input_only=True, quant_desc_weight=QuantDescriptor())
    with pytest.raises(TypeError, match="`quant_desc_input` to be a QuantDescriptor, got int"):
        nn.QuantLinear(2, 2, quant_desc_input=8)


def test_popping_gives_the_descriptors_or_the_defaults() -> None:
    mine = QuantDescriptor(num_bits=3)
    assert pop_quant_desc_in_kwargs(QuantScale, quant_desc_input=mine) == (mine, QuantScale.default_quant_desc_weight)
    assert pop_quant_desc_in_kwargs(QuantScale, True) is QUANT_DESC_8BIT_PER_TENSOR
    assert _utils.QuantDescriptor is QuantDescriptor


def test_defaults_are_copies_and_belong_to_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("default_quant_desc_input", "default_quant_desc_weight"):
        monkeypatch.setattr(nn.QuantConv2d, name, getattr(nn.QuantConv2d, name))
    mine = QuantDescriptor(num_bits=5, axis=0)
    nn.QuantConv2d.set_default_quant_desc_input(mine)
    nn.QuantConv2d.set_default_quant_desc_weight(mine)
    assert nn.QuantConv2d.default_quant_desc_input == mine and nn.QuantConv2d.default_quant_desc_input is not mine
    assert nn.QuantConv2d(1, 1, 1).input_quantizer.num_bits == nn.QuantConv2d(1, 1, 1).weight_quantizer.num_bits == 5
    assert nn.QuantConv1d(1, 1, 1).input_quantizer.num_bits == QuantScale(2).input_quantizer.num_bits == 8
    for setter in (nn.QuantConv2d.set_default_quant_desc_input, nn.QuantConv2d.set_default_quant_desc_weight,
                   nn.QuantMaxPool2d.set_default_quant_desc_input):
        with pytest.raises(ValueError, match="QuantDescriptor, got str"):
            setter("8")


def test_from_float_shares_the_arrays_and_keeps_the_settings() -> None:
    theirs = float_nn.Conv2d(2, 4, (1, 3), stride=2, padding=1, groups=2, padding_mode="circular").eval()
    ours = nn.QuantConv2d.from_float(theirs, quant_desc_input=QuantDescriptor(num_bits=4))
    assert ours.weight is theirs.weight and ours.bias is theirs.bias
    assert ours.extra_repr() == theirs.extra_repr() and ours.input_quantizer.num_bits == 4
    assert not any(module.training for module in ours.modules())
    ours.extra = float_nn.Parameter(np.ones(1, np.float32))
    assert list(theirs.state_dict()) == ["weight", "bias"] and not hasattr(theirs, "_input_quantizer")


def test_from_float_of_another_class_is_refused() -> None:
    with pytest.raises(TypeError, match="a class that QuantLinear inherits from, got Conv2d"):
        nn.QuantLinear.from_float(float_nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match="Unused keys: bits"):
        nn.QuantLinear.from_float(float_nn.Linear(1, 1), bits=4)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
                         ids=["deepcopy", "pickle"])
def test_copies_are_independent(duplicate: Any, rng: np.random.Generator) -> None:
    layer = nn.QuantLinear(4, 3)
    layer.input_quantizer.amax = 1.5
    other = duplicate(layer)
    x = rng.normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_array_equal(other(x), layer(x))
    other.input_quantizer.amax = 0.5
    other.weight[...] = 0
    assert float(layer.input_quantizer.amax) == 1.5 and np.asarray(layer.weight).any()


def test_state_dict_brings_the_amax_of_any_shape() -> None:
    source, target = nn.QuantLinear(4, 3), nn.QuantLinear(4, 3)
    source.weight_quantizer.amax = np.ones((3, 1), np.float32)
    source.input_quantizer.amax = np.float32(2)
    assert target.load_state_dict(source.state_dict()).missing_keys == []
    np.testing.assert_array_equal(target.weight_quantizer.amax, np.ones((3, 1)))
    assert target.input_quantizer.amax.shape == ()

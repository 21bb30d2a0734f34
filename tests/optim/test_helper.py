"""Parameters by name, and weights quantised in place."""
from __future__ import annotations

import logging

import numpy as np
import pytest

from pytorch_quantization_c import float_nn, nn, optim
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


def model() -> float_nn.Module:
    made = float_nn.Module()
    made.conv, made.fc, made.rnn = nn.QuantConv1d(2, 3, 2), nn.QuantLinear(4, 2), nn.QuantLSTMCell(2, 2)
    return made


def test_matching_is_lazy_and_counts_patterns() -> None:
    net = model()
    found = optim.helper.match_parameters(net, ["^fc", "bias$"])
    assert next(found) is net.conv.bias
    assert [each is net.fc.bias for each in found] == [False, True, True]


def test_groups() -> None:
    net = model()
    groups = optim.helper.group_parameters(net, [["^conv"], ["^fc", "rnn"]], lrs=[1, 2], weight_decays=[3, 4])
    assert [(each["lr"], each["weight_decay"], "momentum" in each) for each in groups] == [(1, 3, False), (2, 4, False)]
    assert [len(list(group["params"])) for group in groups] == [2, 6]
    with pytest.raises(TypeError, match="`momentums` must match .* a value for each of the 1 groups, got 2"):
        optim.helper.group_parameters(net, [["conv"]], momentums=[0.1, 0.2])
    with pytest.raises(TypeError, match="list of list of patterns, got 'conv'"):
        optim.helper.group_parameters(net, ["conv"])


def test_freezing() -> None:
    net = model()
    optim.helper.freeze_parameters(net, (each for each in ["fc", "weight_hh"]))
    frozen = {name for name, each in net.named_parameters() if not each.requires_grad}
    assert frozen == {"fc.weight", "fc.bias", "rnn.weight_hh"}


def test_weights_in_place(caplog: pytest.LogCaptureFixture) -> None:
    net = model()
    net.fc.weight_quantizer.num_bits = 3
    before = {name: np.array(array) for name, array in net.state_dict().items()}
    memory = net.fc.weight
    with caplog.at_level(logging.INFO, "pytorch_quantization_c"):
        optim.helper.quant_weight_inplace(net)
    assert net.fc.weight is memory
    oracle.same(np.asarray(memory), oracle.integer(before["fc.weight"], oracle.largest(before["fc.weight"], [0]), 3,
                                                   narrow_range=False)[1])
    oracle.same(net.conv.weight, oracle.integer(before["conv.weight"], oracle.largest(before["conv.weight"], [0]),
                                                narrow_range=False)[1])
    for name in ("conv.bias", "fc.bias", "rnn.weight_ih", "rnn.weight_hh"):
        oracle.same(net.state_dict()[name], before[name])
    assert "rnn has no single weight" in caplog.text and "in place" in caplog.text


def test_layers_of_cells_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    layer = nn.QuantLSTM(2, 2)
    before = {name: np.array(array) for name, array in layer.state_dict().items()}
    optim.helper.quant_weight_inplace(layer)
    assert "the model has no single weight" in caplog.text
    for name, array in layer.state_dict().items():
        oracle.same(array, before[name])


def test_integers_in_place_are_announced(caplog: pytest.LogCaptureFixture) -> None:
    layer = nn.QuantLinear(3, 2)
    weight = np.array(layer.weight)
    layer._weight_quantizer = nn.TensorQuantizer(QuantDescriptor(axis=0, fake_quant=False))
    optim.helper.quant_weight_inplace(layer)
    oracle.same(np.asarray(layer.weight), oracle.integer(weight, oracle.largest(weight, [0]))[0])
    assert "becomes integers" in caplog.text


def test_a_pattern_that_freezes_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    layer = nn.QuantLinear(3, 2)
    optim.helper.freeze_parameters(layer, ["wieght", "bias"])
    assert "'wieght' freezes nothing: it matches none of the names weight, bias" in caplog.text
    assert "'bias'" not in caplog.text and layer.weight.requires_grad and not layer.bias.requires_grad

"""Batch normalisation folded into the layer before it, on NumPy arrays."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn
from pytorch_quantization_c import nn as quant_nn
from pytorch_quantization_c.float_nn import functional as F

Array = NDArray[Any]


def drawn(net: Any, rng: np.random.Generator) -> Any:
    """In evaluation mode, with statistics and factors of both signs."""
    for module in net.modules():
        if isinstance(module, float_nn.BatchNorm1d | float_nn.BatchNorm2d | float_nn.BatchNorm3d):
            for array in (module.running_mean, module.weight, module.bias):
                if array is not None:
                    array[...] = rng.standard_normal(array.shape)
            module.running_var[...] = rng.uniform(0.5, 2, module.running_var.shape)
    return net.eval()


def names_of(net: Any) -> list[str]:
    return [type(module).__name__ for module in net.modules()]


def layers(conv: str, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda package: getattr(package, conv)(*args, **kwargs)


CASES = {
    "conv": (layers("Conv2d", 4, 6, 3, padding=1), 6, (2, 4, 9, 9)),
    "without bias": (layers("Conv2d", 4, 6, 3, bias=False), 6, (2, 4, 9, 9)),
    "groups": (layers("Conv2d", 4, 6, 3, groups=2), 6, (2, 4, 9, 9)),
    "depthwise": (layers("Conv2d", 4, 8, 3, groups=4), 8, (2, 4, 9, 9)),
    "one dimension": (layers("Conv1d", 4, 6, 3), 6, (2, 4, 9)),
    "three dimensions": (layers("Conv3d", 4, 6, 3), 6, (2, 4, 5, 5, 5)),
    "transposed": (layers("ConvTranspose2d", 4, 6, 3, 2), 6, (2, 4, 5, 5)),
    "transposed in groups": (layers("ConvTranspose2d", 4, 6, 3, 2, groups=2), 6, (2, 4, 5, 5)),
    "linear": (layers("Linear", 4, 6), 6, (5, 4)),
}
NORMS = {2: float_nn.BatchNorm1d, 3: float_nn.BatchNorm1d, 4: float_nn.BatchNorm2d, 5: float_nn.BatchNorm3d}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_folded_layers_give_what_the_two_gave(case: str, affine: bool, rng: np.random.Generator) -> None:
    make, channels, shape = CASES[case]
    net = drawn(float_nn.Sequential(make(float_nn), NORMS[len(shape)](channels, affine=affine), float_nn.ReLU()), rng)
    x = rng.standard_normal(shape).astype(np.float32)
    wanted = net.double()(x.astype(np.float64))
    net.float()
    assert pq.fold_batch_norm(net) is net and names_of(net)[2] == "Identity"
    np.testing.assert_allclose(net(x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("case", CASES)
def test_quantised_layers_fold_with_the_ranges_of_their_channels(case: str, rng: np.random.Generator) -> None:
    make, channels, shape = CASES[case]
    layer = make(float_nn)
    net = drawn(float_nn.Sequential(layer, NORMS[len(shape)](channels)), rng)
    pq.replace(net)
    calibrated = "in groups" not in case
    if calibrated:
        quantizer = net[0].weight_quantizer
        quantizer.amax = quantizer._get_amax(net[0].weight)
    net[0].input_quantizer.amax = np.float32(3)
    x = rng.standard_normal(shape).astype(np.float32)
    wanted = net(x)
    pq.fold_batch_norm(net)
    assert "BatchNorm" not in "".join(names_of(net))
    np.testing.assert_allclose(net(x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max() if calibrated else 0.1)
    assert net[0].execution == "int8"


class Branches(float_nn.Module):
    """A residual block, a normalisation of a value that is read twice, and one that has no layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_a, self.conv_b = float_nn.Conv2d(3, 4, 3, padding=1), float_nn.Conv2d(4, 4, 1)
        self.bn_b, self.bn_a = float_nn.BatchNorm2d(4), float_nn.BatchNorm2d(4)  # not in the order of the calls
        self.twice, self.bn_twice = float_nn.Conv2d(4, 4, 1), float_nn.BatchNorm2d(4)
        self.bn_alone = float_nn.BatchNorm2d(4)

    def forward(self, x: Array) -> Array:
        n, c, h, w = x.shape
        x = F.relu(self.bn_a(self.conv_a(x.reshape(n, c, h, w))))
        x = x + self.bn_b(self.conv_b(x))
        y = self.twice(x)
        return self.bn_alone(F.max_pool2d(np.concatenate([y + self.bn_twice(y)], 1), 2))


def test_only_what_nothing_else_reads_is_folded(rng: np.random.Generator) -> None:
    net = drawn(Branches(), rng)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    wanted = net(x)
    pq.fold_batch_norm(net)
    kinds = {name: type(module).__name__ for name, module in net.named_children() if name.startswith("bn")}
    assert kinds == {"bn_a": "Identity", "bn_b": "Identity", "bn_twice": "BatchNorm2d", "bn_alone": "BatchNorm2d"}
    np.testing.assert_allclose(net(x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


class Deciding(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = float_nn.Conv2d(3, 4, 1), float_nn.BatchNorm2d(4)

    def forward(self, x: Array) -> Array:
        return self.bn(self.conv(x)) if x.shape[0] > 1 else self.bn(self.conv(x))


def test_a_model_that_cannot_be_followed_is_refused_and_takes_pairs(rng: np.random.Generator) -> None:
    net = drawn(Deciding(), rng)
    x = rng.standard_normal((2, 3, 5, 5)).astype(np.float32)
    wanted = net(x)
    with pytest.raises(ValueError, match=r"decides by the shape.*pairs="):
        pq.fold_batch_norm(net)
    pq.fold_batch_norm(net, pairs=[("conv", "bn")])
    np.testing.assert_allclose(net(x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    for bad in ([("conv", "nothing")], [("bn", "conv")], ["conv"]):
        with pytest.raises(ValueError, match="Expected `pairs`"):
            pq.fold_batch_norm(net, pairs=bad)


def test_training_mode_is_refused_and_changes_nothing() -> None:
    net = float_nn.Sequential(float_nn.Conv2d(3, 4, 1), float_nn.BatchNorm2d(4), float_nn.Conv2d(4, 4, 1),
                              float_nn.BatchNorm2d(4)).eval()
    net[3].train()
    before = net[0].weight
    with pytest.raises(ValueError, match="'3' in training mode"):
        pq.fold_batch_norm(net)
    assert net[0].weight is before and "Identity" not in names_of(net)


@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda net: pq.freeze(net), "frozen"),
    (lambda net: setattr(net[0].weight_quantizer, "amax", np.float32(2)), "for each output channel"),
    (lambda net: setattr(net, "other", float_nn.Linear(4, 6)) or setattr(net.other, "weight", net[0].weight),
     "that of others"),
    (lambda net: net[1].__dict__.update(_buffers={"running_mean": None, "running_var": None}), "running statistics"),
])
def test_what_cannot_be_folded_is_warned_of(spoil: Any, reason: str, rng: np.random.Generator) -> None:
    net = drawn(float_nn.Sequential(quant_nn.QuantLinear(4, 6), float_nn.BatchNorm1d(6)), rng)
    spoil(net)
    with pytest.warns(UserWarning, match=f"1 behind 0: .*{reason}"):
        pq.fold_batch_norm(net)
    assert "BatchNorm1d" in names_of(net)

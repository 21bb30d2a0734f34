"""Batch normalisation folded into the layer before it, on torch tensors, against torch's own fusion."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

import pytorch_quantization_c.torch as pq

CASES = {
    "conv": (lambda: torch.nn.Conv2d(4, 6, 3, bias=False), torch.nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "depthwise": (lambda: torch.nn.Conv2d(4, 8, 3, groups=4), torch.nn.BatchNorm2d(8), (2, 4, 9, 9)),
    "transposed": (lambda: torch.nn.ConvTranspose2d(4, 6, 3, 2), torch.nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "transposed in groups": (lambda: torch.nn.ConvTranspose2d(4, 6, 3, groups=2), torch.nn.BatchNorm2d(6),
                             (2, 4, 5, 5)),
    "linear": (lambda: torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), (5, 4)),
}


def drawn(net: torch.nn.Module) -> torch.nn.Module:
    for module in net.modules():
        if hasattr(module, "running_mean"):
            for tensor in (module.running_mean, module.weight, module.bias):
                torch.nn.init.normal_(tensor)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_torchs_own_fusion(case: str) -> None:
    make, norm, shape = CASES[case]
    net, x = drawn(torch.nn.Sequential(make(), norm)), torch.randn(shape)
    wanted = net(x).detach()
    fused = None if case == "transposed in groups" else fuse_linear_bn_eval(net[0], net[1]) if case == "linear" else \
        fuse_conv_bn_eval(net[0], net[1], transpose=case == "transposed")
    assert pq.fold_batch_norm(net) is net and isinstance(net[1], torch.nn.Identity)
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    if fused is not None:
        torch.testing.assert_close(net[0].weight, fused.weight, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(net[0].bias, fused.bias, rtol=1e-6, atol=1e-6)
    assert isinstance(net[0].weight, torch.nn.Parameter) and net[0].weight.requires_grad


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.Conv2d(4, 4, 3, padding=1)
        self.bn2, self.bn1, self.bn3 = (torch.nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return self.bn3(torch.relu(x + y))


def test_quantised_layers_fold_where_the_data_flows() -> None:
    net = drawn(pq.replace(Block()))
    for name, module in net.named_modules():
        if name.endswith("quantizer"):
            module.amax = torch.tensor(3.0) if "input" in name else \
                module._get_amax(net.get_submodule(name.split(".")[0]).weight)
    x = torch.randn(2, 4, 8, 8)
    wanted = net(x).detach()
    pq.fold_batch_norm(net)
    assert [type(each).__name__ for each in (net.bn1, net.bn2, net.bn3)] == ["Identity", "Identity", "BatchNorm2d"]
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))


def test_a_model_that_fx_cannot_follow_is_refused() -> None:
    class Deciding(Block):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(ValueError, match="pairs="):
        pq.fold_batch_norm(drawn(Deciding()))

"""LSQ against the paper's own formulation: a step size, gradients by autograd through straight-through rounding."""
from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from pytorch_quantization_c.torch.learned_steps import LearnedStepFunction


def paper(v: torch.Tensor, s: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Algorithm 1 of Esser et al.: gradscale, roundpass."""
    g = 1 / math.sqrt(v.numel() / s.numel() * high)
    s = (s - s * g).detach() + s * g
    v = torch.clamp(v / s, low, high)
    return ((v.round() - v).detach() + v) * s


@pytest.mark.parametrize("bits, unsigned, narrow", [(4, False, True), (3, False, False), (2, True, True)])
@pytest.mark.parametrize("channels", [False, True])
def test_gradients_and_descent_are_the_papers(rng: np.random.Generator, bits: int, unsigned: bool, narrow: bool,
                                              channels: bool) -> None:
    values = rng.standard_normal((6, 50))
    x = torch.tensor(np.abs(values) if unsigned else values)
    target, high = torch.tensor(rng.standard_normal((6, 50))), 2 ** (bits - (not unsigned)) - 1
    low = 0 if unsigned else -high - (not narrow)
    start = torch.full((6, 1) if channels else (), 1.3, dtype=torch.float64)
    s, amax = (start / high).requires_grad_(), start.clone().requires_grad_()
    v, w = x.clone().requires_grad_(), x.clone().requires_grad_()
    optimizers = [torch.optim.SGD([each], lr=1e-3) for each in (s, amax)]
    for _ in range(5):
        expected = paper(v, s, low, high)
        got = LearnedStepFunction.apply(w, amax, bits, unsigned, narrow)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
        for each, optimizer in zip((expected, got), optimizers, strict=True):
            optimizer.zero_grad()
            (each - target).square().sum().backward()
        torch.testing.assert_close(w.grad, v.grad)
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(amax, s * high)
        v.grad = w.grad = None


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    four = {"quant_desc_input": QuantDescriptor(4), "quant_desc_weight": QuantDescriptor(4, axis=0)}
    made = torch.nn.Sequential(twin.nn.QuantLinear(8, 16, **four), torch.nn.ReLU(), twin.nn.QuantLinear(16, 3, **four))
    with twin.calibrating(made, load_amax=True):
        made(torch.randn(64, 8))
    return made


def test_ranges_are_learnt_and_kept() -> None:
    net, x = model(), torch.randn(256, 8)
    before, names = net(x), set(net.state_dict())
    found = twin.learn_steps(net)
    assert len(found) == 4 and {id(each) for each in found} <= {id(each) for each in net.parameters()}
    assert twin.learn_steps(net)[0] is found[0] and set(net.state_dict()) == names
    assert torch.equal(net(x), before)
    target = torch.sin(x[:, :3] * 2)
    optimizer, start = torch.optim.Adam(net.parameters(), 0.01), [each.detach().clone() for each in found]
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (net(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0] and all(not torch.equal(a, b) for a, b in zip(found, start, strict=True))
    other = model()
    other.load_state_dict(net.state_dict())
    net.eval()
    other.eval()
    torch.testing.assert_close(other(x), net(x).detach())
    with torch.no_grad():       # in integers
        torch.testing.assert_close(net(x), other(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(copy.deepcopy(net)(x), net(x))


def test_what_cannot_be_learnt() -> None:
    with pytest.raises(ValueError, match="calibrate first"):
        twin.learn_steps(twin.nn.QuantLinear(3, 2))
    with pytest.raises(TypeError, match="Expected `model`"):
        twin.learn_steps(3)  # type: ignore[arg-type]
    pact = twin.nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(4, learn_amax=True, amax=1.0),
                               quant_desc_weight=QuantDescriptor(4, amax=1.0))
    assert len(twin.learn_steps(pact)) == 1


def test_a_range_that_is_driven_to_zero_does_not_raise() -> None:
    amax = torch.tensor(-0.5, requires_grad=True)
    x = torch.randn(10, requires_grad=True)
    LearnedStepFunction.apply(x, amax, 4).sum().backward()
    assert amax.grad is not None and torch.isfinite(amax.grad)

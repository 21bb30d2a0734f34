"""`improve` on torch models gives what it gives on NumPy ones."""
from __future__ import annotations

import numpy as np
import pytest
import torch

import pytorch_quantization_c as pq
import pytorch_quantization_c.torch as twin
from pytorch_quantization_c import float_nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

FOUR = QuantDescriptor(4, axis=0)


def models() -> tuple[float_nn.Module, torch.nn.Module]:
    layers = float_nn.Sequential(pq.nn.QuantConv2d(3, 6, 3, padding=1, quant_desc_weight=FOUR), float_nn.ReLU(),
                                 float_nn.Flatten(), pq.nn.QuantLinear(150, 4, bias=False, quant_desc_weight=FOUR))
    tensors = torch.nn.Sequential(twin.nn.QuantConv2d(3, 6, 3, padding=1, quant_desc_weight=FOUR), torch.nn.ReLU(),
                                  torch.nn.Flatten(), twin.nn.QuantLinear(150, 4, bias=False, quant_desc_weight=FOUR))
    with torch.no_grad():
        for ours, theirs in zip(layers.parameters(), tensors.parameters(), strict=True):
            theirs.copy_(torch.from_numpy(np.array(ours)))
    return layers, tensors


@pytest.mark.parametrize("methods", [["weight_mse", "gptq"], ["smoothquant", "gptq", "bias_correction"]])
def test_both_fronts_agree(rng: np.random.Generator, methods: list[str]) -> None:
    layers, tensors = models()
    x = rng.standard_normal((16, 3, 5, 5)).astype(np.float32)
    rows = pq.improve(layers, [x], methods=methods)
    got = twin.improve(tensors, [torch.from_numpy(x)], methods=methods)
    assert [(each.method, each.layer) for each in got] == [(each.method, each.layer) for each in rows]
    np.testing.assert_allclose([each.after for each in got], [each.after for each in rows], atol=0.3)
    expected, state = layers.state_dict(), tensors.state_dict()
    assert set(expected) == set(state)
    for name, array in state.items():
        close = np.isclose(array.numpy(), expected[name], rtol=1e-4, atol=1e-5)
        assert close.mean() > 0.98, name
    assert all(parameter.requires_grad for parameter in tensors.parameters())


@pytest.mark.parametrize("method", ["gptq", "awq", "weight_mse"])
def test_groups_and_two_ends(rng: np.random.Generator, method: str) -> None:
    given = {"quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 16}),
             "quant_desc_input": QuantDescriptor(8, zero_point=True, amin=-3.0, amax=9.0)}
    ours, theirs = pq.nn.QuantLinear(32, 6, **given), twin.nn.QuantLinear(32, 6, **given)
    x = (rng.standard_normal((40, 32)) + 1).astype(np.float32)
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(np.array(ours.weight)))
    pq.improve(float_nn.Sequential(ours), [x], methods=[method])
    twin.improve(torch.nn.Sequential(theirs), [torch.from_numpy(x)], methods=[method])
    expected, state = ours.state_dict(), theirs.state_dict()
    assert set(expected) == set(state)
    for name in set(state) - {"bias"}:
        np.testing.assert_allclose(state[name].numpy(), expected[name], rtol=1e-4, atol=1e-6)


def test_equalization_by_torch_fx(rng: np.random.Generator) -> None:
    whole = {"quant_desc_weight": QuantDescriptor(8)}
    net = torch.nn.Sequential(twin.nn.QuantLinear(6, 8, **whole), torch.nn.ReLU(), twin.nn.QuantLinear(8, 3, **whole))
    x = torch.from_numpy(rng.standard_normal((32, 6)).astype(np.float32))
    with torch.no_grad():
        net[0].weight *= torch.logspace(-1, 1, 8)[:, None]  # type: ignore[operator]
    first, second = net[0].weight.detach().abs().amax(1), net[2].weight.detach().abs().amax(0)  # type: ignore[operator]
    rows = twin.improve(net, [x], methods=["equalization"])
    assert [each.layer for each in rows] == ["0", "2"]
    for found in (net[0].weight.abs().amax(1), net[2].weight.abs().amax(0)):  # type: ignore[operator]
        torch.testing.assert_close(found.detach(), (first * second).sqrt(), rtol=1e-4, atol=1e-6)


def test_equalization_through_a_relu6(rng: np.random.Generator) -> None:
    """The weights of the NumPy model, some channels cut off at 6."""
    whole = {"quant_desc_weight": QuantDescriptor(8)}
    arrays = float_nn.Sequential(pq.nn.QuantLinear(6, 8, **whole), float_nn.ReLU6(), pq.nn.QuantLinear(8, 3, **whole))
    tensors = torch.nn.Sequential(twin.nn.QuantLinear(6, 8, **whole), torch.nn.ReLU6(),
                                  twin.nn.QuantLinear(8, 3, **whole))
    arrays[0].weight[...] *= np.logspace(-2, 1.5, 8)[:, None]
    tensors.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.state_dict().items()})
    x, before = rng.standard_normal((32, 6)).astype(np.float32), np.array(arrays[0].weight)
    pq.improve(arrays, [x], methods=["equalization"])
    twin.improve(tensors, [torch.from_numpy(x)], methods=["equalization"])
    for name, array in arrays.state_dict().items():
        np.testing.assert_allclose(tensors.state_dict()[name].numpy(), array, rtol=1e-4, atol=1e-6)
    stayed = (arrays[0].weight == before).all(axis=1)
    assert stayed.any() and not stayed.all()


def test_a_torch_model_is_as_it_was_if_a_method_raises(rng: np.random.Generator) -> None:
    _, tensors = models()
    x = torch.from_numpy(rng.standard_normal((4, 3, 5, 5)).astype(np.float32))
    before = tensors(x)
    with pytest.raises(ValueError, match="finite inputs of layers"):
        twin.improve(tensors, [x, x * float("nan")], methods=["gptq"])
    assert torch.equal(tensors(x), before)


def test_half_precision(rng: np.random.Generator) -> None:
    _, tensors = models()
    tensors = tensors.to(torch.bfloat16)
    x = torch.from_numpy(rng.standard_normal((8, 3, 5, 5)).astype(np.float32)).to(torch.bfloat16)
    rows = twin.improve(tensors, [x], methods=["gptq", "bias_correction"])
    assert len(rows) == 4 and all(parameter.dtype == torch.bfloat16 for parameter in tensors.parameters())

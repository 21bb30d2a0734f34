"""Attention of both fronts against torch.nn.MultiheadAttention."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c import float_nn
from pytorch_quantization_c import nn as array_nn
from pytorch_quantization_c.torch import nn

E, HEADS, N, L, S = 16, 4, 3, 5, 7
OPTIONS: list[dict[str, Any]] = [
    {}, {"batch_first": True}, {"kdim": 6, "vdim": 10}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"bias": False},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True}]


def tensors(options: dict[str, Any]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    sizes = ((L, E), (S, options.get("kdim", E)), (S, options.get("vdim", E)))
    found = [torch.randn(n, N, c) for n, c in sizes]
    return [x.transpose(0, 1) for x in found] if options.get("batch_first") else found


def masks() -> list[dict[str, torch.Tensor]]:
    kept = torch.rand(L, S, generator=torch.Generator().manual_seed(0)) < 0.3
    kept[:, 0] = False
    padding = torch.zeros(N, S, dtype=torch.bool)
    padding[1, 4:] = True
    each_head = torch.randn(N * HEADS, L, S, generator=torch.Generator().manual_seed(1))
    return [{}, {"attn_mask": kept}, {"key_padding_mask": padding}, {"attn_mask": each_head}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_fronts_have_torchs_answers(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    layer = torch.nn.MultiheadAttention(E, HEADS, **options).eval()
    arrays = float_nn.MultiheadAttention(E, HEADS, **options).eval()
    arrays.load_state_dict({name: value.numpy() for name, value in layer.state_dict().items()})
    quantised = nn.QuantMultiheadAttention.from_float(layer)
    for each in quantised.modules():
        if isinstance(each, nn.TensorQuantizer):
            each.disable()
    given = tensors(options)
    for mask in masks():
        for average in (True, False):
            with torch.no_grad():
                wanted, weights = layer(*given, average_attn_weights=average, **mask)
                out, same = quantised(*given, average_attn_weights=average, **mask)
            torch.testing.assert_close(out, wanted, atol=2e-6, rtol=1e-5)
            torch.testing.assert_close(same, weights, atol=1e-6, rtol=1e-5)
            found, shares = arrays(*(x.numpy() for x in given), average_attn_weights=average,
                                   **{name: value.numpy() for name, value in mask.items()})
            np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6)
            np.testing.assert_allclose(shares, weights.numpy(), atol=1e-6)


def test_the_quantised_layers_of_both_fronts_agree() -> None:
    torch.manual_seed(1)
    layer = nn.QuantMultiheadAttention(E, HEADS).eval()
    arrays = array_nn.QuantMultiheadAttention(E, HEADS).eval()
    given = tensors({})
    with torch.no_grad(), twin.calibrating(layer, load_amax=True):
        layer(*given)
    arrays.load_state_dict({name: value.numpy() for name, value in layer.state_dict().items()})
    with torch.no_grad():
        wanted = layer(*given)[0].numpy()
    np.testing.assert_allclose(arrays(*(x.numpy() for x in given))[0], wanted, atol=1e-5)
    assert layer.q_proj.execution == arrays.q_proj.execution == "int8"


def test_it_trains_and_stands_in_a_transformer() -> None:
    torch.manual_seed(1)
    block = torch.nn.TransformerEncoderLayer(E, HEADS, 32, batch_first=True, dropout=0.0)
    x = torch.randn(N, L, E)
    wanted = block.eval()(x)
    twin.replace(block, custom_quant_modules=[(torch.nn, "MultiheadAttention", nn.QuantMultiheadAttention)])
    assert isinstance(block.self_attn, nn.QuantMultiheadAttention)
    with torch.no_grad():
        out = block(x)
    assert 0 < (out - wanted).abs().max() < 0.1 * wanted.abs().max()
    assert block.self_attn.k_proj.execution == "int8"
    block.train()(x).square().sum().backward()
    assert block.self_attn.q_proj.weight.grad.abs().sum() > 0


def test_masks_of_integers_are_refused() -> None:
    layer = nn.QuantMultiheadAttention(E, HEADS).eval()
    with pytest.raises(TypeError, match="`key_padding_mask` of bool or a floating type"):
        layer(*tensors({}), key_padding_mask=torch.zeros(N, S, dtype=torch.uint8))

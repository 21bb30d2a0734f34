"""torch's transformer and attention layers do not go round quantised layers inside them."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch import quant_modules

pytestmark = pytest.mark.filterwarnings(
    "ignore:`replace` cannot take:UserWarning",     # the attention inside
    "ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning",
    "ignore:<class 'torch.autograd.function.Function'> should not be instantiated:DeprecationWarning",
    "ignore:Dynamo does not know how to trace the builtin `pytorch_quantization_c:UserWarning")

X = torch.randn(2, 5, 16)


def encoder_layer() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()


def encoder() -> nn.Module:
    return nn.TransformerEncoder(encoder_layer(), 2).eval()


def attention() -> nn.Module:
    torch.manual_seed(0)
    return nn.MultiheadAttention(16, 2, batch_first=True).eval()


def by_its_children(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """A post-norm encoder layer, as Vaswani et al. 2017 describe it, by calls of its children."""
    x = layer.norm1(x + layer.self_attn(x, x, x, need_weights=False)[0])
    return layer.norm2(x + layer.linear2(layer.linear1(x).relu()))


@pytest.mark.parametrize("way", ["replace", "initialize", "by hand", "pickled"])
def test_an_encoder_layer_is_quantised(way: str) -> None:
    plain = layer = encoder_layer()
    if way == "initialize":
        with quant_modules.quantized():
            layer = encoder_layer()
        assert nn.modules.transformer.Linear is nn.Linear is not quant_nn.QuantLinear
    elif way == "by hand":
        layer = copy.deepcopy(plain)
        layer.linear1 = quant_nn.QuantLinear.from_float(layer.linear1)
    else:
        layer = twin.replace(copy.deepcopy(plain))
        layer = pickle.loads(pickle.dumps(layer)) if way == "pickled" else layer
    with torch.no_grad():
        assert not torch.equal(layer(X), plain(X))
        assert torch.allclose(layer(X), by_its_children(layer, X), atol=1e-5)
        assert torch.allclose(plain(X), by_its_children(plain, X), atol=1e-5)
    seen: list[Any] = []
    layer.linear1.register_forward_hook(lambda *args: seen.append(args))
    with torch.inference_mode():
        layer(X)
    assert seen


def test_an_encoder_with_padding_is_quantised() -> None:
    plain = encoder()
    model = twin.replace(copy.deepcopy(plain))
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad():
        answer, wanted = model(X, src_key_padding_mask=padding), plain(X, src_key_padding_mask=padding)
    with torch.enable_grad():
        slow = model(X, src_key_padding_mask=padding)
    assert not torch.equal(answer, wanted)
    assert torch.allclose(answer[~padding], slow[~padding], atol=1e-5)
    assert torch.allclose(answer[~padding], wanted[~padding], atol=0.2)


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_quantised_output_projection_is_called(need_weights: bool) -> None:
    plain = attention()
    layer = copy.deepcopy(plain)
    seen: list[Any] = []
    layer.out_proj = quant_nn.QuantLinear(16, 16)
    layer.out_proj.load_state_dict(plain.out_proj.state_dict())
    layer.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    before = copy.deepcopy(plain)
    with torch.no_grad():
        before.out_proj.weight.copy_(torch.eye(16))
        before.out_proj.bias.zero_()
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                output, weights = layer(X, X, X, need_weights=need_weights)
            assert torch.allclose(output, layer.out_proj(before(X, X, X)[0]), atol=1e-5)
            assert not torch.equal(output, plain(X, X, X)[0]) and (weights is None) != need_weights
            assert torch.equal(seen[-1], output)
    assert layer.out_proj.input_quantizer is not None and type(layer) is nn.MultiheadAttention


def test_float_layers_keep_their_fast_path_and_compile() -> None:
    layer = encoder_layer()
    with torch.no_grad():
        wanted = layer(X)
        assert layer.activation_relu_or_gelu == 1
        torch._dynamo.reset()
        assert torch.allclose(torch.compile(layer, backend="eager")(X), wanted, atol=1e-5)
        quantized = twin.replace(copy.deepcopy(layer))
        answer = quantized(X)
        torch._dynamo.reset()
        compiled = torch.compile(twin.replace(copy.deepcopy(layer)), backend="eager")
        assert torch.allclose(compiled(X), answer, atol=1e-5) and not torch.equal(compiled(X), wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_float_layers_are_scripted_as_before() -> None:
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(encoder_layer())(X), encoder_layer()(X), atol=1e-5)

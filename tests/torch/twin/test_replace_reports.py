"""What `replace` cannot take in torch models, and models of the other package."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pytorch_quantization_c as array_pq
import pytorch_quantization_c.torch as pq
from pytorch_quantization_c import float_nn
from pytorch_quantization_c.torch import nn as quant_nn


class Plain(nn.Module):
    """No class that is known, and no layer inside."""

    def __init__(self, layer: Any = None) -> None:
        super().__init__()
        self.layers = [layer]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def parametrized() -> nn.Module:
    return torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))


@pytest.mark.parametrize(("make", "name", "reason"), [
    (lambda: nn.MultiheadAttention(4, 2), "", "bare weights"),
    (lambda: nn.MultiheadAttention(4, 2), "out_proj", "reads its weight without calling it"),
    (lambda: nn.TransformerEncoderLayer(4, 2, 4), "self_attn", "bare weights"),
    (parametrized, "", "before they are registered"),
    (lambda: nn.Sequential(nn.LazyLinear(2)), "0", "call the model once"),
    (lambda: nn.Sequential(torch.jit.script(nn.Linear(2, 2))), "0", "TorchScript has compiled this Linear"),
    (lambda: torch.jit.trace(nn.Conv1d(1, 1, 1), torch.ones(1, 1, 3)), "", "TorchScript has compiled this Conv1d"),
    (lambda: torch.compile(nn.Linear(2, 2)), "_orig_mod", "torch.compile has compiled it"),
    (lambda: Plain(nn.Linear(2, 2)), "layers[0]", "plain list"),
    (lambda: nn.GRU(2, 2), "", "QuantGRU"),
    (lambda: nn.Bilinear(2, 2, 2), "", "no quantised form")],
    ids=["attention", "projection", "in an encoder", "parametrized", "lazy", "scripted", "traced", "compiled", "listed",
         "GRU", "Bilinear"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:Lazy modules:UserWarning")
def test_what_stays_float_is_said(make: Any, name: str, reason: str) -> None:
    model = nn.Sequential(make(), nn.Linear(2, 2))
    name = f"0.{name}" if name else "0"
    listed = {layer.name: layer.reason for layer in pq.unquantized_layers(model)}
    assert reason in listed[name] and "1" in listed
    with pytest.warns(UserWarning, match="which stay float") as caught:
        pq.replace(model)
    assert sum("which stay float" in str(each.message) for each in caught) == 1
    left = [each.name for each in pq.unquantized_layers(model)]
    assert isinstance(model[1], quant_nn.QuantLinear) and name in left and "1" not in left


def test_what_is_no_product_is_not_reported() -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm((2, 3)), nn.PReLU(2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert pq.unquantized_layers(pq.replace(model)) == []


@pytest.mark.filterwarnings("ignore")
def test_layers_below_a_compiled_model_are_taken() -> None:
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(2, 2)), backend="eager")
    x = torch.tensor([[1.0, 0.3]])
    before = compiled(x)
    pq.replace(compiled)
    assert isinstance(compiled._orig_mod[0], quant_nn.QuantLinear) and not torch.equal(compiled(x), before)


def test_a_model_of_the_other_package() -> None:
    with pytest.raises(TypeError, match="a float_nn model, got Linear, which is a torch model: call "
                                        "pytorch_quantization_c.torch.replace"):
        array_pq.replace(nn.Linear(2, 2))  # type: ignore[type-var]
    with pytest.raises(TypeError, match="a torch model, got Linear, which is a float_nn model: call "
                                        "pytorch_quantization_c.replace"):
        pq.replace(float_nn.Linear(2, 2))  # type: ignore[type-var]


def test_nothing_turned_says_why() -> None:
    model = pq.replace(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2)), "0")
    assert [type(each).__name__ for each in (model[0][0], model[1])] == ["QuantLinear", "Linear"]
    with pytest.warns(UserWarning, match="'0.0', is quantised already and keeps its quantisers"):
        pq.replace(model, "0")
    with pytest.raises(ValueError, match=r"'0.1' matches only 0.1 \(ReLU\)"):
        pq.replace(model, "0.1")
    with pytest.warns(UserWarning, match="turned no layer: the model has none"):
        pq.replace(nn.ReLU())


def test_the_error_of_a_layer_has_its_name() -> None:
    class Failing(quant_nn.QuantLinear):
        def _make_quantizers(self, **kwargs: Any) -> None:
            raise ValueError("too wide")

    with pytest.raises(ValueError, match=r"0 \(Linear\) cannot be quantised: too wide"):
        pq.replace(nn.Sequential(nn.Linear(2, 2)), custom_quant_modules=[(nn, "Linear", Failing)])

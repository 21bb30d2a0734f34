"""torch's attention and transformer layers read the weights of their children instead of calling them.

`torch.nn.TransformerEncoderLayer` does so in evaluation without gradients, `TransformerEncoder` makes nested tensors
for that, `MultiheadAttention` multiplies by `out_proj.weight` always. What is quantised inside would be passed over. A
call of one of these layers looks for that first; of layers without a quantiser nothing changes.
"""
from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..._core.layer_rules import Quantizing
from ..._core.quantizer import QuantizerRules

__all__ = ["close_fast_paths"]

# The attribute that opens the fast path of a class. It says what the path needs, and nothing else reads it.
OPENERS: dict[type[nn.Module], str] = {nn.TransformerEncoderLayer: "activation_relu_or_gelu",
                                       nn.TransformerEncoder: "use_nested_tensor"}


def _encoder_call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A call that keeps to the children's own forward if one of them is quantised."""
    for cls, opener in OPENERS.items():
        opened = isinstance(self, cls) and vars(self).get(opener)
        if opened and any(isinstance(each, QuantizerRules) for each in self.modules()):
            setattr(self, opener, 0)
    return nn.Module.__call__(self, *args, **kwargs)


class _Identity(nn.Module):
    """An output projection that changes nothing: the quantised one is called with what comes out."""

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__()
        self.weight = torch.eye(size, dtype=like.dtype, device=like.device)
        self.bias = like.new_zeros(size).detach()


def _attention_call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A call that ends with the forward of `out_proj` if that is quantised."""
    projection: Any = self._modules.get("out_proj")
    if not issubclass(type(projection), Quantizing):
        return nn.Module.__call__(self, *args, **kwargs)
    like = next(each for each in self._parameters.values() if each is not None)
    inner, outer = copy.copy(self), copy.copy(self)
    vars(inner)["_modules"] = {**self._modules, "out_proj": _Identity(projection.out_features, like)}

    def forward(*args: Any, **kwargs: Any) -> Any:
        output, weights = type(self).forward(inner, *args, **kwargs)
        return projection(output), weights

    vars(outer)["forward"] = forward
    return nn.Module.__call__(outer, *args, **kwargs)


def close_fast_paths() -> None:
    """Lets calls of torch's layers look for quantised ones inside. `forward` stays, for TorchScript's compiler."""
    classes: list[Any] = list(OPENERS)
    for cls in classes:
        cls.__call__ = _encoder_call
    attention: Any = nn.MultiheadAttention
    attention.__call__ = _attention_call

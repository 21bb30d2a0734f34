"""The quantised attention layer."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...._core.attention import NAMES, QuantAttentionRules
from .quant_linear import QuantLinear
from .tensor_quantizer import TensorQuantizer

__all__ = ["QuantMultiheadAttention"]


class QuantMultiheadAttention(QuantAttentionRules[Tensor], nn.Module):
    """`torch.nn.MultiheadAttention` whose projections are quantised.

    Arguments and errors are those of `pytorch_quantization_c.nn.QuantMultiheadAttention`, the float ones torch's; state
    dictionaries of the float layer load as they are.
    """

    _linear_class = QuantLinear
    _new_quantizer = TensorQuantizer
    _float_class = nn.MultiheadAttention

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None,
                 **kwargs: Any) -> None:
        super().__init__()
        self._build(embed_dim, num_heads, dropout, bias, kdim, vdim, batch_first, add_zero_attn, kwargs)
        for name in ("bias_k", "bias_v"):
            start = nn.init.xavier_normal_(torch.empty(1, 1, embed_dim)) if add_bias_kv else None
            self.register_parameter(name, None if start is None else nn.Parameter(start))
        self.to(device=device, dtype=dtype)

    @staticmethod
    def _learnt(array: Tensor) -> nn.Parameter:
        return nn.Parameter(array.detach(), array.requires_grad)

    @staticmethod
    def _projections_of(module: Any) -> list[tuple[Any, Any]]:
        weights = [getattr(module, f"{name}_proj_weight") for name in NAMES]
        if module.in_proj_weight is not None:
            weights = list(module.in_proj_weight.chunk(3))
        biases = [None] * 3 if module.in_proj_bias is None else list(module.in_proj_bias.chunk(3))
        return list(zip(weights, biases, strict=True))

    def _opened(self, x: Tensor, name: str) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"Expected `{name}` to be a tensor, got {type(x).__name__}")
        return x

    def _softmax(self, scores: Tensor) -> Tensor:
        return F.softmax(scores, -1)

    def _dropped(self, weights: Tensor) -> Tensor:
        return F.dropout(weights, self.dropout)

    def _joined(self, parts: list[Tensor], axis: int = 1) -> Tensor:
        return torch.cat(parts, axis)

    def _zeros(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return like.new_zeros(shape)

    def _penalties(self, mask: Tensor, name: str, like: Tensor) -> Tensor:
        given = self._opened(mask, name)
        if given.dtype == torch.bool:
            return torch.zeros_like(given, dtype=like.dtype).masked_fill(given, float("-inf"))
        if not given.is_floating_point():
            raise TypeError(f"Expected `{name}` of bool or a floating type, got {given.dtype}")
        return given.to(like.dtype)

"""MultiheadAttention."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._core.attention import NAMES, AttentionRules, check_heads
from . import functional as F
from . import init
from .checks import Array, factory, float_array, integer
from .linear import Linear
from .module import Module
from .parameter import Parameter, as_array

__all__ = ["ArrayAttention", "MultiheadAttention"]


class ArrayAttention(AttentionRules[Array]):
    """What attention asks of NumPy."""

    def _opened(self, x: ArrayLike, name: str) -> Array:
        return float_array(x, name)

    def _softmax(self, scores: Array) -> Array:
        return F.softmax(scores, -1)

    def _dropped(self, weights: Array) -> Array:
        return F.dropout(weights, self.dropout)

    def _joined(self, parts: list[Array], axis: int = 1) -> Array:
        return np.concatenate(parts, axis)

    def _zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        return np.zeros(shape, like.dtype)

    def _penalties(self, mask: ArrayLike, name: str, like: Array) -> Array:
        given: Array = as_array(mask)
        if given.dtype == np.bool_:
            return np.where(given, np.asarray(-np.inf, like.dtype), np.zeros((), like.dtype))
        return float_array(given, name).astype(like.dtype, copy=False)


class MultiheadAttention(ArrayAttention, Module):
    """Attention of several heads; arguments, parameters and answers are those of torch.nn.MultiheadAttention.

    Args:
        embed_dim: channels of queries and outputs, E.
        num_heads: heads, which divide the channels among them.
        dropout: probability with which weights are zeroed while training.
        bias: projections have biases.
        add_bias_kv: a learnt key and a learnt value behind those given.
        add_zero_attn: a key and a value of zeros behind those.
        kdim, vdim: channels of keys and values, `embed_dim` by default.
        batch_first: arrays are (N, L, E) instead of (L, N, E).
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.

    Raises:
        ValueError: `num_heads` does not divide `embed_dim`, or a size or `dropout` out of range.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.head_dim = check_heads(embed_dim, num_heads, dropout)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, float(dropout)
        self.kdim = embed_dim if kdim is None else integer(kdim, "kdim", 1)
        self.vdim = embed_dim if vdim is None else integer(vdim, "vdim", 1)
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        kind = factory(device, dtype)
        sizes = (embed_dim, self.kdim, self.vdim)
        self._is_joint = set(sizes) == {embed_dim}
        self.register_parameter("in_proj_weight", Parameter(np.empty((3 * embed_dim, embed_dim), kind))
                                if self._is_joint else None)
        for name, size in zip(NAMES, sizes, strict=True):
            self.register_parameter(f"{name}_proj_weight",
                                    None if self._is_joint else Parameter(np.empty((embed_dim, size), kind)))
        self.register_parameter("in_proj_bias", Parameter(np.zeros(3 * embed_dim, kind)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(np.empty((1, 1, embed_dim), kind)) if add_bias_kv else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialises the weights; biases of projections are 0."""
        for name in ("in_proj_weight", *(f"{each}_proj_weight" for each in NAMES)):
            if (weight := self._parameters[name]) is not None:
                init.xavier_uniform_(weight)
        for name in ("bias_k", "bias_v"):
            if (learnt := self._parameters[name]) is not None:
                init.xavier_normal_(learnt)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.constant_(bias, 0.0)

    def _project(self, q: Array, k: Array, v: Array) -> tuple[Array, ...]:
        return tuple(F.linear(x, *self.projection(at)) for at, x in enumerate((q, k, v)))

    def projection(self, index: int) -> tuple[Array, Array | None]:
        """Weight (embed_dim, in) and bias of the projection of queries (0), keys (1) or values (2)."""
        rows = slice(index * self.embed_dim, (index + 1) * self.embed_dim)
        weight = self.in_proj_weight[rows] if self._is_joint else getattr(self, f"{NAMES[index]}_proj_weight")
        return weight, None if self.in_proj_bias is None else self.in_proj_bias[rows]

    def _project_out(self, x: Array) -> Array:
        y: Array = self.out_proj(x)
        return y

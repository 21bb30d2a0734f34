"""Attention of several heads (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), for any host's arrays.

A layer says how its inputs are projected; what follows is the same for float and quantised layers of both fronts.
"""
from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .errors import ShapeError, shown
from .host import A, HostModule

__all__ = ["NAMES", "AttentionRules", "QuantAttentionRules", "check_heads", "split_projections"]

NAMES = ("q", "k", "v")
L = TypeVar("L", bound="QuantAttentionRules[Any]")
OPERANDS = (*NAMES, "softmax")  # of the two products of activations


def _checked(name: str, size: object) -> int:
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"Expected `{name}` to be an integer, got {shown(size)}")
    if size < 1:
        raise ValueError(f"Expected `{name}` > 0, got {shown(size)}")
    return int(size)


def check_heads(embed_dim: object, num_heads: object, dropout: object) -> int:
    """Channels of each head. ValueError or TypeError for sizes that do not divide, or an invalid dropout."""
    channels, heads = _checked("embed_dim", embed_dim), _checked("num_heads", num_heads)
    if channels % heads:
        raise ValueError(f"Expected `embed_dim` to be divisible by `num_heads`, got {channels} and {heads}")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise ValueError(f"Expected `dropout` to be a number in range [0, 1], got {shown(dropout)}")
    return channels // heads


def split_projections(state: MutableMapping[str, Any], prefix: str) -> None:
    """Renames the entries of torch's layer to those of the layers `q_proj`, `k_proj` and `v_proj`, in place."""
    for kind in ("weight", "bias"):
        key = f"{prefix}in_proj_{kind}"
        shape: tuple[int, ...] = getattr(state.get(key), "shape", ())
        if len(shape) >= 1 and shape[0] % 3 == 0:  # any other is an unexpected key
            joint, size = state.pop(key), shape[0] // 3
            for at, name in enumerate(NAMES):
                state[f"{prefix}{name}_proj.{kind}"] = joint[at * size:(at + 1) * size]
    for name in NAMES:
        single = state.pop(f"{prefix}{name}_proj_weight", None)
        if single is not None:
            state[f"{prefix}{name}_proj.weight"] = single


class AttentionRules(HostModule, Generic[A]):
    """`forward` of an attention layer. The host or the layer defines what is declared without a body."""

    embed_dim: int
    num_heads: int
    head_dim: int
    dropout: float
    batch_first: bool
    bias_k: A | None
    bias_v: A | None
    add_zero_attn: bool

    if TYPE_CHECKING:
        def _opened(self, x: Any, name: str) -> A: ...
        def _softmax(self, scores: A) -> A: ...
        def _dropped(self, weights: A) -> A: ...
        def _joined(self, parts: list[A], axis: int = 1) -> A: ...
        def _zeros(self, shape: tuple[int, ...], like: A) -> A: ...
        def _penalties(self, mask: Any, name: str, like: A) -> A: ...
        def _project(self, q: A, k: A, v: A) -> tuple[A, ...]: ...
        def _project_out(self, x: A) -> A: ...

    def forward(self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
                attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
        """Attention of queries (L, N, E) to keys (S, N, kdim) and values (S, N, vdim); `batch_first`: N comes first.

        Args:
            query, key, value: arrays as above, or each without N.
            key_padding_mask: (N, S), or (S) without N; True leaves a key out, floats are added to its scores.
            need_weights: return the weights too.
            attn_mask: (L, S) or (N * num_heads, L, S); as `key_padding_mask`.
            average_attn_weights: weights (N, L, S), the mean over heads, instead of (N, num_heads, L, S).
            is_causal: `attn_mask`, which must be given, is causal.

        Returns:
            (output of the shape of `query`, weights or None).

        Raises:
            ValueError, RuntimeError: shapes that do not fit, `is_causal` without `attn_mask`.
        """
        q, k, v = (self._opened(each, name) for each, name in ((query, "query"), (key, "key"), (value, "value")))
        if q.ndim not in (2, 3) or k.ndim != q.ndim or v.ndim != q.ndim:
            raise ShapeError("Expected `query`, `key` and `value` with 3 dimensions each, or 2 each, got shapes "
                             f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}")
        if is_causal and attn_mask is None:
            raise RuntimeError("Expected `attn_mask` together with `is_causal`, got None")
        is_batch = q.ndim == 3
        q, k, v = self._project(*(self._batched(each) for each in (q, k, v)))
        k, v = self._extended(k, self.bias_k), self._extended(v, self.bias_v)
        self._check(q, k, v)
        scores = self._scores(q, k, key_padding_mask, attn_mask, is_batch)
        weights = self._softmax(scores)
        if self.training and self.dropout:
            weights = self._dropped(weights)
        mixed = self._bmm_operand(weights, "softmax") @ self._bmm_operand(self._heads(v), "v")
        batch, length = q.shape[0], q.shape[1]
        output = self._project_out(mixed.swapaxes(1, 2).reshape((batch, length, self.embed_dim)))
        if not is_batch:
            output = output.reshape((length, self.embed_dim))
        elif not self.batch_first:
            output = output.swapaxes(0, 1)
        return output, self._given_weights(weights, average_attn_weights, is_batch) if need_weights else None

    def _batched(self, x: A) -> A:
        """(N, length, channels)."""
        if x.ndim == 2:
            return x.reshape((1, *x.shape))
        return x if self.batch_first else x.swapaxes(0, 1)

    def _extended(self, x: A, learnt: A | None) -> A:
        """With a learnt key or value and one of zeros behind, where the layer has them."""
        parts, last = [x], (x.shape[0], 1, x.shape[2])
        if learnt is not None:
            parts.append(learnt + self._zeros(last, x))
        if self.add_zero_attn:
            parts.append(self._zeros(last, x))
        return x if len(parts) == 1 else self._joined(parts)

    def _check(self, q: A, k: A, v: A) -> None:
        if not (q.shape[0] == k.shape[0] == v.shape[0] and k.shape[1] == v.shape[1]):
            raise ShapeError("Expected `query`, `key` and `value` of one batch, and as many keys as values, got "
                             f"batches of {q.shape[0]}, {k.shape[0]} and {v.shape[0]}, {k.shape[1]} keys and "
                             f"{v.shape[1]} values")

    def _heads(self, x: A) -> A:
        """(N, length, E) to (N, heads, length, channels of a head)."""
        return x.reshape((x.shape[0], x.shape[1], self.num_heads, self.head_dim)).swapaxes(1, 2)

    def _scores(self, q: A, k: A, key_padding_mask: object, attn_mask: object, is_batch: bool) -> A:
        queries = self._bmm_operand(self._heads(q) * self.head_dim**-0.5, "q")
        keys = self._bmm_operand(self._heads(k), "k")
        scores = queries @ keys.swapaxes(2, 3)
        batch, heads, length, count = scores.shape
        extra = (self.bias_k is not None) + bool(self.add_zero_attn)
        given = count - extra
        if attn_mask is not None:
            shapes = ((length, given), (batch * heads, length, given))
            mask = self._mask(attn_mask, "attn_mask", shapes, scores, extra)
            scores = scores + (mask.reshape(scores.shape) if mask.ndim == 3 else mask)
        if key_padding_mask is not None:
            shape = (batch, given) if is_batch else (given,)
            mask = self._mask(key_padding_mask, "key_padding_mask", (shape,), scores, extra)
            scores = scores + mask.reshape((batch, 1, 1, count))
        return scores

    def _mask(self, mask: object, name: str, shapes: Sequence[tuple[int, ...]], like: A, extra: int) -> A:
        """What is added to scores; keys that the layer adds itself are never left out."""
        penalties = self._penalties(mask, name, like)
        if tuple(penalties.shape) not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise ShapeError(f"Expected `{name}` of shape {wanted}, got {tuple(penalties.shape)}")
        if not extra:
            return penalties
        return self._joined([penalties, self._zeros((*penalties.shape[:-1], extra), like)], axis=-1)

    def _given_weights(self, weights: A, average: bool, is_batch: bool) -> A:
        found = weights.mean(1) if average else weights
        return found if is_batch else found.reshape(found.shape[1:])

    def _bmm_operand(self, x: A, which: str) -> A:
        """An operand of a product of two activations; `which` is "q", "k", "softmax" or "v"."""
        return x


class QuantAttentionRules(AttentionRules[A]):
    """Attention whose four projections are quantised linear layers, for both fronts.

    The host adds what is declared here: `_learnt` makes a parameter of an array, `_projections_of` has the weights and
    biases of a float layer's three projections.
    """

    _linear_class: ClassVar[Any]
    _new_quantizer: ClassVar[Any]
    _float_class: ClassVar[Any]

    if TYPE_CHECKING:
        q_proj: Callable[[A], A]
        k_proj: Callable[[A], A]
        v_proj: Callable[[A], A]
        out_proj: Any

        @staticmethod
        def _learnt(array: Any) -> Any: ...
        @staticmethod
        def _projections_of(module: object) -> Sequence[tuple[Any, Any]]: ...

    def _build(self, embed_dim: int, num_heads: int, dropout: float, bias: bool, kdim: int | None, vdim: int | None,
               batch_first: bool, add_zero_attn: bool, descriptors: dict[str, Any]) -> None:
        self.head_dim = check_heads(embed_dim, num_heads, dropout)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, float(dropout)
        self.kdim, self.vdim = (embed_dim if size is None else _checked(name, size)
                                for name, size in (("kdim", kdim), ("vdim", vdim)))
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        self.in_proj_bias, self._qkv_same_embed_dim = None, False  # torch's encoder layers look for a joint projection
        operand = descriptors.pop("quant_desc_bmm", None)
        linear = self._linear_class
        for name, size in zip(NAMES, (embed_dim, self.kdim, self.vdim), strict=True):
            setattr(self, f"{name}_proj", linear(size, embed_dim, bias, **descriptors))
        self.out_proj = linear(embed_dim, embed_dim, bias, **descriptors)
        for name in OPERANDS:
            setattr(self, f"{name}_bmm_quantizer", None if operand is None else self._new_quantizer(operand))

    @classmethod
    def from_float(cls: type[L], module: Any, **kwargs: Any) -> L:
        """A quantised layer in the place of a float one: same settings and mode, shared weights.

        Args:
            module: a MultiheadAttention of this front.
            **kwargs: `quant_desc_input`, `quant_desc_weight`, `quant_desc_bmm`.

        Raises:
            TypeError: `module` is of another class.
        """
        if type(module) is not cls._float_class:
            raise TypeError(f"Expected `module` to be a MultiheadAttention, got {type(module).__name__}")
        learnt = module.bias_k is not None
        made = cls(module.embed_dim, module.num_heads, module.dropout, module.out_proj.bias is not None, learnt,
                   module.add_zero_attn, module.kdim, module.vdim, module.batch_first, **kwargs)
        for name, (weight, bias) in zip(NAMES, cls._projections_of(module), strict=True):
            layer = getattr(made, f"{name}_proj")
            layer.weight, layer.bias = cls._learnt(weight), None if bias is None else cls._learnt(bias)
        made.out_proj.weight, made.out_proj.bias = module.out_proj.weight, module.out_proj.bias
        if learnt:
            made.bias_k, made.bias_v = module.bias_k, module.bias_v
        made.train(module.training)
        return made

    def _project(self, q: A, k: A, v: A) -> tuple[A, ...]:
        return self.q_proj(q), self.k_proj(k), self.v_proj(v)

    def _project_out(self, x: A) -> A:
        projected: A = self.out_proj(x)
        return projected

    def _bmm_operand(self, x: A, which: str) -> A:
        quantizer: Callable[[A], A] | None = getattr(self, f"{which}_bmm_quantizer")
        return x if quantizer is None else quantizer(x)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: object, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Takes the entries of torch's layer as well."""
        split_projections(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

"""The quantised attention layer."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ... import float_nn
from ..._core.attention import NAMES, QuantAttentionRules
from ...float_nn import init
from ...float_nn.attention import ArrayAttention
from ...float_nn.checks import Array, factory
from .quant_linear import QuantLinear
from .tensor_quantizer import TensorQuantizer

__all__ = ["QuantMultiheadAttention"]


class QuantMultiheadAttention(QuantAttentionRules[Array], ArrayAttention, float_nn.Module):
    """`float_nn.MultiheadAttention` whose projections are quantised.

    They are four QuantLinear layers, `q_proj`, `k_proj`, `v_proj` and `out_proj`, which compute with integers. The two
    products of activations are float ones, of quantised operands if `quant_desc_bmm` is given. State dictionaries of
    the float layer load as they are.

    Args:
        embed_dim, num_heads and the others: as `float_nn.MultiheadAttention`.
        **kwargs: `quant_desc_input` and `quant_desc_weight` of the projections, as for QuantLinear; `quant_desc_bmm` of
            queries, keys, values and weights where they are multiplied (`q_bmm_quantizer`, `k_bmm_quantizer`,
            `v_bmm_quantizer`, `softmax_bmm_quantizer`), by default none.

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation, or sizes that the float
            layer refuses.
    """

    _linear_class = QuantLinear
    _new_quantizer = TensorQuantizer
    _float_class = float_nn.MultiheadAttention

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device: Any = None,
                 dtype: DTypeLike | None = None, **kwargs: Any) -> None:
        super().__init__()
        self._build(embed_dim, num_heads, dropout, bias, kdim, vdim, batch_first, add_zero_attn, kwargs)
        for name in ("bias_k", "bias_v"):
            learnt = float_nn.Parameter(np.empty((1, 1, embed_dim), np.float32)) if add_bias_kv else None
            self.register_parameter(name, None if learnt is None else init.xavier_normal_(learnt))
        self.to(factory(device, dtype))

    @staticmethod
    def _learnt(array: Any) -> Any:
        return float_nn.Parameter(array)

    @staticmethod
    def _projections_of(module: Any) -> list[tuple[Any, Any]]:
        return [module.projection(at) for at in range(len(NAMES))]

"""The quantised embedding."""
from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from ... import float_nn, tensor_quant
from ..._core.layer_rules import QuantWeightRules
from ...float_nn import functional as F
from ...float_nn.container import ModuleList
from .tensor_quantizer import TensorQuantizer

__all__ = ["QuantEmbedding"]


class QuantEmbedding(QuantWeightRules, float_nn.Embedding):
    """`float_nn.Embedding` whose table is quantised: integers in, rows of (num_embeddings, embedding_dim) out.

    A table that another layer shares, as the head of a language model, stays shared.

    Args:
        num_embeddings, embedding_dim and the others: as `float_nn.Embedding`.
        quant_desc_weight: by default 8 bits, with one amax for each row (`set_default_quant_desc_weight`).

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    _new_quantizer = TensorQuantizer
    _new_list = ModuleList

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 sparse: bool = False, _weight: ArrayLike | None = None, _freeze: bool = False, device: Any = None,
                 dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
                         _weight, _freeze, device, dtype)
        self._make_quantizers(**kwargs)

    def forward(self, input: ArrayLike) -> Any:
        """Integers of any shape to rows of the quantised table: one dimension more."""
        return F.embedding(input, self._weight_quantizer(self.weight), self.padding_idx, self.max_norm, self.norm_type)

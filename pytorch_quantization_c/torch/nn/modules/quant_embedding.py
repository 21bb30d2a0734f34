"""The quantised embedding."""
from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import ModuleList
from torch.nn import functional as F

from ...._core.layer_rules import QuantWeightRules
from ... import tensor_quant
from .tensor_quantizer import TensorQuantizer

__all__ = ["QuantEmbedding"]

FLOAT = nn.Embedding    # whatever stands under the name in torch.nn later


class QuantEmbedding(QuantWeightRules, nn.Embedding):
    """`torch.nn.Embedding` whose table is quantised: integers in, rows of (num_embeddings, embedding_dim) out.

    A table that another layer shares, as the head of a language model, stays shared.

    Args:
        num_embeddings, embedding_dim and the others: as `torch.nn.Embedding`.
        quant_desc_weight: by default 8 bits, with one amax for each row (`set_default_quant_desc_weight`).

    Raises:
        TypeError: another keyword argument. ValueError: a descriptor of real quantisation, `sparse` or `max_norm`.
    """

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    _new_quantizer = TensorQuantizer
    _new_list = ModuleList

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 sparse: bool = False, _weight: Tensor | None = None, _freeze: bool = False, device: Any = None,
                 dtype: Any = None, **kwargs: Any) -> None:
        FLOAT.__init__(self, num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
                       sparse, _weight, _freeze, device, dtype)
        self._make_quantizers(**kwargs)

    def _make_quantizers(self, **kwargs: Any) -> None:
        if self.sparse or self.max_norm is not None:
            raise ValueError("Expected an embedding without `sparse` and `max_norm`, which change the table itself")
        super()._make_quantizers(**kwargs)

    def forward(self, input: Tensor) -> Tensor:
        """Integers of any shape to rows of the quantised table: one dimension more."""
        return F.embedding(input, self._weight_quantizer(self.weight), self.padding_idx, None, self.norm_type,
                           self.scale_grad_by_freq)

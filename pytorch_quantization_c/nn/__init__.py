"""Quantiser and quantised layers. `Linear` is `QuantLinear` and so on, for models that take their layers from here.

Recurrent layers, attention, embeddings and instance normalisation are imported when one is first asked for.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import on_request
from . import functional
from .modules._utils import QuantInputMixin, QuantMixin, pop_quant_desc_in_kwargs
from .modules.clip import Clip
from .modules.quant_conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    QuantConv1d,
    QuantConv2d,
    QuantConv3d,
    QuantConvTranspose1d,
    QuantConvTranspose2d,
    QuantConvTranspose3d,
)
from .modules.quant_linear import Linear, QuantLinear
from .modules.quant_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    QuantAdaptiveAvgPool1d,
    QuantAdaptiveAvgPool2d,
    QuantAdaptiveAvgPool3d,
    QuantAvgPool1d,
    QuantAvgPool2d,
    QuantAvgPool3d,
    QuantMaxPool1d,
    QuantMaxPool2d,
    QuantMaxPool3d,
)
from .modules.tensor_quantizer import TensorQuantizer

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from .modules.quant_attention import QuantMultiheadAttention
    from .modules.quant_embedding import QuantEmbedding
    from .modules.quant_instancenorm import QuantInstanceNorm1d, QuantInstanceNorm2d, QuantInstanceNorm3d
    from .modules.quant_rnn import LSTM, LSTMCell, QuantGRU, QuantGRUCell, QuantLSTM, QuantLSTMCell

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "Clip",
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LSTM", "LSTMCell", "Linear",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "QuantAdaptiveAvgPool1d", "QuantAdaptiveAvgPool2d", "QuantAdaptiveAvgPool3d",
    "QuantAvgPool1d", "QuantAvgPool2d", "QuantAvgPool3d", "QuantConv1d", "QuantConv2d", "QuantConv3d",
    "QuantConvTranspose1d", "QuantConvTranspose2d", "QuantConvTranspose3d", "QuantEmbedding", "QuantGRU",
    "QuantGRUCell", "QuantInputMixin", "QuantInstanceNorm1d", "QuantInstanceNorm2d", "QuantInstanceNorm3d", "QuantLSTM",
    "QuantLSTMCell", "QuantLinear", "QuantMaxPool1d", "QuantMaxPool2d", "QuantMaxPool3d", "QuantMixin",
    "QuantMultiheadAttention", "TensorQuantizer", "functional", "pop_quant_desc_in_kwargs",
]

_HOMES = {
    "modules.quant_attention": "QuantMultiheadAttention",
    "modules.quant_embedding": "QuantEmbedding",
    "modules.quant_instancenorm": "QuantInstanceNorm1d QuantInstanceNorm2d QuantInstanceNorm3d",
    "modules.quant_rnn": "LSTM LSTMCell QuantGRU QuantGRUCell QuantLSTM QuantLSTMCell",
}

__getattr__, __dir__ = on_request(__name__, _HOMES)

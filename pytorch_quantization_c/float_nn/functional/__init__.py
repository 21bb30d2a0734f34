"""The functional forms of float_nn's layers: torch.nn.functional's names and arguments on NumPy arrays."""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import on_request
from .activation import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from .conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .dropout import dropout, dropout1d, dropout2d, dropout3d
from .linear import embedding, linear
from .norm import batch_norm, group_norm, instance_norm, layer_norm
from .pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
)

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from .adaptive import (
        adaptive_avg_pool1d,
        adaptive_avg_pool2d,
        adaptive_avg_pool3d,
        adaptive_max_pool1d,
        adaptive_max_pool2d,
        adaptive_max_pool3d,
    )
    from .loss import cross_entropy, l1_loss, mse_loss, nll_loss
    from .padding import pad
    from .recurrent import gru_cell, lstm_cell
    from .resize import interpolate

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cross_entropy", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "elu", "embedding", "gelu", "group_norm", "gru_cell", "hardsigmoid", "hardswish", "hardtanh",
    "instance_norm", "interpolate", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "lstm_cell",
    "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "max_pool3d_with_indices", "mse_loss", "nll_loss", "pad", "relu", "relu6", "sigmoid", "silu", "softmax", "softplus",
    "tanh",
]

_HOMES = {
    "adaptive": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
                "adaptive_max_pool2d adaptive_max_pool3d",
    "loss": "cross_entropy l1_loss mse_loss nll_loss",
    "padding": "pad",
    "recurrent": "gru_cell lstm_cell",
    "resize": "interpolate",
}

__getattr__, __dir__ = on_request(__name__, _HOMES)

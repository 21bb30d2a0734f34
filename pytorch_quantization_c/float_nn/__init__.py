"""What torch.nn is to the original, on NumPy arrays: modules, layers and their functional forms, forward only.

A layer's module is imported when the layer is first asked for.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import on_request

if TYPE_CHECKING:  # what `__getattr__` imports on first use
    from . import functional as functional
    from . import init as init
    from . import utils as utils
    from .activation import (
        ELU,
        GELU,
        Dropout,
        Dropout1d,
        Dropout2d,
        Dropout3d,
        Hardsigmoid,
        Hardswish,
        Hardtanh,
        LeakyReLU,
        LogSoftmax,
        ReLU,
        ReLU6,
        Sigmoid,
        SiLU,
        Softmax,
        Softplus,
        Tanh,
    )
    from .attention import MultiheadAttention
    from .container import ModuleDict, ModuleList, Sequential
    from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
    from .init import manual_seed
    from .linear import Embedding, Flatten, Identity, Linear, Unflatten
    from .loss import CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
    from .module import Module
    from .norm import (
        BatchNorm1d,
        BatchNorm2d,
        BatchNorm3d,
        GroupNorm,
        InstanceNorm1d,
        InstanceNorm2d,
        InstanceNorm3d,
        LayerNorm,
    )
    from .padding import (
        CircularPad1d,
        CircularPad2d,
        CircularPad3d,
        ConstantPad1d,
        ConstantPad2d,
        ConstantPad3d,
        ReflectionPad1d,
        ReflectionPad2d,
        ReflectionPad3d,
        ReplicationPad1d,
        ReplicationPad2d,
        ReplicationPad3d,
        ZeroPad1d,
        ZeroPad2d,
        ZeroPad3d,
    )
    from .parameter import Parameter
    from .pooling import (
        AdaptiveAvgPool1d,
        AdaptiveAvgPool2d,
        AdaptiveAvgPool3d,
        AdaptiveMaxPool1d,
        AdaptiveMaxPool2d,
        AdaptiveMaxPool3d,
        AvgPool1d,
        AvgPool2d,
        AvgPool3d,
        MaxPool1d,
        MaxPool2d,
        MaxPool3d,
    )
    from .rnn import GRU, LSTM
    from .rnn_cells import GRUCell, LSTMCell
    from .upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "Conv1d",
    "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CrossEntropyLoss", "Dropout",
    "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "Flatten", "GELU", "GRU", "GRUCell", "GroupNorm",
    "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "L1Loss",
    "LSTM", "LSTMCell", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d", "MaxPool2d",
    "MaxPool3d", "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "Parameter", "ReLU", "ReLU6",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d",
    "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh", "Unflatten", "Upsample", "UpsamplingBilinear2d",
    "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "functional", "init", "manual_seed", "utils",
]

_HOMES = {
    "functional": "",
    "utils": "",
    "activation": "ELU GELU Dropout Dropout1d Dropout2d Dropout3d Hardsigmoid Hardswish Hardtanh LeakyReLU "
                  "LogSoftmax ReLU ReLU6 Sigmoid SiLU Softmax Softplus Tanh",
    "attention": "MultiheadAttention",
    "container": "ModuleDict ModuleList Sequential",
    "conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "init": "manual_seed",
    "linear": "Embedding Flatten Identity Linear Unflatten",
    "loss": "CrossEntropyLoss L1Loss MSELoss NLLLoss",
    "module": "Module",
    "norm": "BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d "
            "LayerNorm",
    "padding": "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d "
               "ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d "
               "ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d",
    "parameter": "Parameter",
    "pooling": "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
               "AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d MaxPool1d MaxPool2d MaxPool3d",
    "rnn": "GRU LSTM",
    "rnn_cells": "GRUCell LSTMCell",
    "upsample": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}

__getattr__, __dir__ = on_request(__name__, _HOMES)

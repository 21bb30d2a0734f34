"""What the NumPy package's layers take and refuse is taken and refused on tensors, on integers as on floats."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c import float_nn
from pytorch_quantization_c import nn as numpy_nn
from pytorch_quantization_c.torch import nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor


def swapped(array: Any) -> Any:
    return np.asarray(array).astype(np.asarray(array).dtype.newbyteorder(">"))


@pytest.mark.parametrize("arguments", [{"output_padding": 1}, {"output_padding": 2, "stride": 2},
                                       {"output_padding": (0, 1), "stride": (2, 1)}, {"output_padding": -1}], ids=str)
def test_output_padding_as_torch(arguments: dict[str, Any]) -> None:
    x = torch.ones(1, 3, 5, 5)
    with torch.no_grad():
        for layer in (torch.nn.ConvTranspose2d(3, 4, 3, **arguments), nn.QuantConvTranspose2d(3, 4, 3, **arguments)):
            with pytest.raises(RuntimeError):
                layer(x)


def test_byte_swapped_arrays() -> None:
    scales = np.float32([[1], [2], [3]])
    quantizer = nn.TensorQuantizer(QuantDescriptor(axis=0))
    quantizer.amax = swapped(scales)
    quantizer.pre_quant_scale = swapped(scales)
    assert torch.equal(quantizer.amax, torch.from_numpy(scales)) and quantizer.pre_quant_scale[2] == 3
    layer = numpy_nn.QuantLinear(3, 4)
    weight = np.array(layer.weight)
    layer.weight = float_nn.Parameter(swapped(weight))
    assert torch.equal(twin.from_numpy(layer).weight.detach(), torch.from_numpy(weight))

"""What the twin exports, read into graphs: all its quantisers, and its answers."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.nn import TensorQuantizer
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from .exported import calibrated, export

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::UserWarning:onnxscript")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network(bits: Any) -> nn.Module:
    weights = {"quant_desc_weight": QuantDescriptor(num_bits=bits, axis=None if bits == (4, 3) else 0)}
    transposed = {"quant_desc_weight": QuantDescriptor(num_bits=bits, axis=None if bits == (4, 3) else 1)}
    inputs = {"quant_desc_input": QuantDescriptor(num_bits=bits if bits == (4, 3) else 8)}
    return nn.Sequential(
        quant_nn.QuantConv2d(3, 6, 3, padding=1, groups=3, **weights, **inputs), nn.ReLU(),
        quant_nn.QuantConvTranspose2d(6, 4, 2, stride=2, **transposed, **inputs), nn.MaxPool2d(2), nn.Flatten(),
        quant_nn.QuantLinear(144, 20, **weights, **inputs), nn.Sigmoid(),
        quant_nn.QuantLinear(20, 5, bias=False, **weights, **inputs))


CASES = [(8, 17, "trt", False), (8, 13, "trt", False), ((4, 3), 19, "onnx", False), ((4, 3), 18, "trt", True),
         (4, 21, "trt", True)]


@pytest.mark.parametrize(("bits", "opset", "float8", "dynamo"), CASES)
def test_networks(bits: Any, opset: int, float8: str, dynamo: bool) -> None:
    """A range may be another number by one rounding, so that a few elements lie a step apart."""
    x = torch.randn(4, 3, 6, 6)
    model = calibrated(network(bits), x)
    loaded = graph.load(export(model, x, opset, float8, dynamo))
    assert not [node.op_type for node in loaded.graph if "Linear" in node.op_type]
    assert len(list(quantizers(loaded))) == 8
    with torch.no_grad():
        wanted = model(x).numpy()
    got = graph.interpret(loaded, {"x": x.numpy()})[0]
    assert np.abs(got - wanted).max() <= (0.05 if bits != 8 else 0.02) * np.abs(wanted).max()
    steps = [step for step in graph.Interpreter(loaded).plan.steps if step.execution == "int8" and not step.optional]
    assert len(steps) == (0 if bits == (4, 3) else 4)


def test_quantizers_of_attention() -> None:
    """Products of two activations, both quantised."""
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = TensorQuantizer(QuantDescriptor()), TensorQuantizer(QuantDescriptor())

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.a(x) @ self.b(x).transpose(1, 2), -1)

    x = torch.randn(2, 5, 8)
    model = calibrated(Attention(), x)
    loaded = graph.load(export(model, x, 17))
    assert len(list(quantizers(loaded))) == 2
    assert np.abs(graph.interpret(loaded, {"x": x.numpy()})[0] - model(x).numpy()).max() < 1e-3

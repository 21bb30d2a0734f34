"""Modules of the twin, exported with `dynamo=True`, give the twin's answers in onnxruntime."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from .exported import InFloat32, calibrated, constants, export, kinds, one_step_apart, run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::UserWarning:onnxscript")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("bits", "axis", "unsigned", "dtype"), [
    (8, 1, False, torch.float32), (8, None, True, torch.float16), (8, 0, False, torch.bfloat16),
    (4, 1, True, torch.float32), (16, None, False, torch.float32)])
def test_quantizer(bits: int, axis: int | None, unsigned: bool, dtype: torch.dtype, record_property: Any) -> None:
    x = torch.rand(3, 4, 50) if unsigned else torch.randn(3, 4, 50)
    descriptor = QuantDescriptor(num_bits=bits, axis=axis, unsigned=unsigned)
    model = calibrated(InFloat32(quant_nn.TensorQuantizer(descriptor), dtype), x)
    file = export(model, x, opset=18 if bits == 8 else 21, dynamo=True)
    step = model.inner.amax.float().numpy() / (2 ** (bits - 1 + unsigned) - 1)
    step = step + 2.0 ** -7 * x.abs().numpy() * (dtype != torch.float32)
    record_property("differing elements", one_step_apart(run(file, x), model(x).numpy(), step))
    pair = [node for node in file.graph.node if node.op_type.endswith("izeLinear")]
    assert len(pair) == 2 and all(node.input[1] in constants(file) for node in pair)


def test_network() -> None:
    descriptors = {"quant_desc_input": QuantDescriptor(num_bits=8),
                   "quant_desc_weight": QuantDescriptor(num_bits=4, axis=0)}
    model = nn.Sequential(quant_nn.QuantConv2d(1, 4, 3, **descriptors), nn.ReLU(), nn.Flatten(),
                          quant_nn.QuantLinear(64, 5, **descriptors))
    x = torch.randn(2, 1, 6, 6)
    calibrated(model, x)
    file = export(model, x, opset=21, dynamo=True)
    assert kinds(file).count("QuantizeLinear") == 4
    wanted = model(x).detach().numpy()
    np.testing.assert_allclose(run(file, x), wanted, rtol=0, atol=0.02 * np.abs(wanted).max())


def test_float8() -> None:
    x = torch.randn(40, 6)
    model = calibrated(quant_nn.TensorQuantizer(QuantDescriptor(num_bits=(4, 3))), x)
    step = 2.0 ** -3 * np.abs(model(x).numpy()) + 2.0 ** -9 / 448 * float(model.amax)
    one_step_apart(run(export(model, x, opset=21, float8="onnx", dynamo=True), x), model(x).numpy(), step)
    assert kinds(export(model, x, dynamo=True, opset=18)) == ["TRT_FP8QuantizeLinear", "TRT_FP8DequantizeLinear"]


def test_uncalibrated_quantizers_are_refused_by_name() -> None:
    with pytest.raises(Exception, match="torch.export") as problem:
        export(nn.Sequential(quant_nn.QuantLinear(6, 5)).eval(), torch.randn(4, 6), dynamo=True)
    assert "quantiser '0._input_quantizer'" in str(problem.value.__cause__)

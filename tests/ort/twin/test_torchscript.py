"""Modules of the twin, exported with `dynamo=False`, give the twin's answers in onnxruntime."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pytorch_quantization_c.torch import enable_onnx_export
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from .exported import InFloat32, calibrated, constants, export, kinds, one_step_apart, run

HALVES = {torch.float16: onnx.TensorProto.FLOAT16, torch.bfloat16: onnx.TensorProto.BFLOAT16}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("dtype", "axis", "unsigned", "scale_amax"), [
    (torch.float32, None, False, None), (torch.float32, 0, True, None), (torch.float32, 1, False, 0.5),
    (torch.float32, -1, False, None), (torch.float16, None, True, None), (torch.float16, 1, False, None),
    (torch.bfloat16, None, False, 0.5), (torch.bfloat16, 0, False, None)])
def test_quantizer(dtype: torch.dtype, axis: int | None, unsigned: bool, scale_amax: float | None,
                   record_property: Any) -> None:
    x = torch.rand(3, 4, 50) if unsigned else torch.randn(3, 4, 50)
    descriptor = QuantDescriptor(axis=axis, unsigned=unsigned, scale_amax=scale_amax)
    model = calibrated(InFloat32(quant_nn.TensorQuantizer(descriptor), dtype), x)
    file = export(model, x)
    step = model.inner.amax.float().numpy() * (scale_amax or 1) / (255 if unsigned else 127)
    step = step + 2.0 ** -7 * x.abs().numpy() * (dtype != torch.float32)      # of the half type itself
    record_property("differing elements", one_step_apart(run(file, x), model(x).numpy(), step))
    assert kinds(file).count("QuantizeLinear") == kinds(file).count("DequantizeLinear") == 1
    assert all(node.input[1] in constants(file) for node in file.graph.node if node.op_type.endswith("izeLinear"))
    if dtype in HALVES:
        casts = [node.attribute[0].i for node in file.graph.node if node.op_type == "Cast"]
        assert HALVES[dtype] in casts


def sequence(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


LAYERS = {
    "linear": (lambda: quant_nn.QuantLinear(6, 7), (5, 6), 2),
    "conv1d": (lambda: quant_nn.QuantConv1d(4, 6, 3, groups=2, padding=1), (2, 4, 9), 2),
    "conv2d": (lambda: quant_nn.QuantConv2d(3, 5, 3, stride=2), (2, 3, 9, 9), 2),
    "conv3d": (lambda: quant_nn.QuantConv3d(2, 3, 2), (2, 2, 4, 4, 4), 2),
    "transposed": (lambda: quant_nn.QuantConvTranspose2d(3, 5, 3, stride=2, output_padding=1), (2, 3, 5, 5), 2),
    "max pool": (lambda: quant_nn.QuantMaxPool2d(2), (2, 3, 8, 8), 1),
    "average pool": (lambda: quant_nn.QuantAvgPool2d(2), (2, 3, 8, 8), 1),
    "adaptive pool": (lambda: quant_nn.QuantAdaptiveAvgPool2d(1), (2, 3, 8, 8), 1),
    "instance norm": (lambda: quant_nn.QuantInstanceNorm2d(3, affine=True), (2, 3, 8, 8), 1),
    "learnt range": (lambda: quant_nn.TensorQuantizer(QuantDescriptor(learn_amax=True, amax=1.5)), (5, 6), 1),
    "pre-scaled": (lambda: pre_scaled(), (5, 6), 1),
    "network": (lambda: sequence(quant_nn.QuantConv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), quant_nn.QuantLinear(64, 5)),
                (2, 1, 6, 6), 4),
}


def pre_scaled() -> nn.Module:
    quantizer = quant_nn.TensorQuantizer()
    quantizer.pre_quant_scale = [0.5, 1.0, 2.0, 4.0, 0.25, 1.0]
    return quantizer


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning:torch", "ignore::UserWarning:torch")   # instance norm
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    make, shape, pairs = LAYERS[name]
    x = torch.randn(shape)
    model = calibrated(make(), x)
    file = export(model, x)
    assert kinds(file).count("QuantizeLinear") == pairs
    wanted = model(x).detach().numpy()
    # A value at a tie may go the other way in the runtime, which divides where the formula multiplies.
    np.testing.assert_allclose(run(file, x), wanted, rtol=0, atol=0.02 * np.abs(wanted).max())
    assert np.abs(run(file, x) - wanted).mean() < 2e-3 * np.abs(wanted).max()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")      # the steps of the time are unrolled
def test_lstm() -> None:
    x = torch.randn(3, 2, 4)

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = quant_nn.QuantLSTM(4, 5)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    model = calibrated(First(), x)
    np.testing.assert_allclose(run(export(model, x), x), model(x).detach().numpy(), rtol=0, atol=0.02)


def test_float8_by_default_are_tensorrt_nodes() -> None:
    x = torch.randn(4, 6)
    model = calibrated(quant_nn.QuantLinear(6, 5, quant_desc_input=QuantDescriptor(num_bits=(4, 3)),
                                            quant_desc_weight=QuantDescriptor(num_bits=(4, 3))), x)
    nodes = [(node.domain, node.op_type) for node in export(model, x).graph.node if "FP8" in node.op_type]
    assert nodes == [("trt", "TRT_FP8QuantizeLinear"), ("trt", "TRT_FP8DequantizeLinear")] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_standard_float8(dtype: torch.dtype) -> None:
    x = torch.randn(40, 6)
    model = calibrated(InFloat32(quant_nn.TensorQuantizer(QuantDescriptor(num_bits=(4, 3))), dtype), x)
    file = export(model, x, opset=19, float8="onnx")
    step = 2.0 ** -3 * np.abs(model(x).numpy()) + 2.0 ** -9 / 448 * float(model.inner.amax)
    one_step_apart(run(file, x), model(x).numpy(), step)
    constant = [node.attribute[0].t for node in file.graph.node if node.op_type == "Constant"]
    assert onnx.TensorProto.FLOAT8E4M3FN in [each.data_type for each in (*constant, *file.graph.initializer)]


def test_standard_float8_needs_opset_19() -> None:
    x = torch.randn(4, 6)
    model = calibrated(quant_nn.TensorQuantizer(QuantDescriptor(num_bits=(4, 3))), x)
    with pytest.raises(ValueError, match="opset 19 or newer .* got 17"):
        export(model, x, opset=17, float8="onnx")


def linear(**descriptor: Any) -> nn.Module:
    return nn.Sequential(nn.ReLU(), quant_nn.QuantLinear(6, 5, quant_desc_input=QuantDescriptor(**descriptor)))


@pytest.mark.parametrize(("settings", "reason"), [
    ({"num_bits": 5}, "has 5"), ({"num_bits": 4}, "from opset 21 on"), ({"narrow_range": True}, "narrow_range=True"),
    ({"num_bits": (4, 3), "axis": 1}, "got shape \\(1, 6\\)"), ({"axis": (0, 1)}, "amax of shape \\(4, 6\\)")])
def test_unsupported_settings_are_refused_by_name(settings: dict[str, Any], reason: str) -> None:
    x = torch.randn(4, 6)
    with pytest.raises(ValueError, match=f"quantiser '1._input_quantizer' .*{reason}"):
        export(calibrated(linear(**settings), x), x)


def test_uncalibrated_quantizers_are_refused_by_name() -> None:
    with pytest.raises(RuntimeError, match="not been calibrated: expected quantiser '1._input_quantizer'"):
        export(linear(), torch.randn(4, 6))


def test_disabled_quantizers_need_nothing() -> None:
    x, model = torch.randn(4, 6), linear(num_bits=5).eval()
    for quantizer in (model[1].input_quantizer, model[1].weight_quantizer):
        quantizer.disable()
    np.testing.assert_allclose(run(export(model, x), x), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_switch() -> None:
    with pytest.raises(ValueError, match="'trt' or 'onnx', got 'fp8'"), enable_onnx_export(float8="fp8"):
        pass
    with pytest.raises(KeyError), enable_onnx_export(float8="onnx"):
        raise KeyError
    assert quant_nn.TensorQuantizer._enable_onnx_export is False
    quant_nn.TensorQuantizer()(torch.ones(3))       # no amax, and nobody minds

"""Exporting a module of the twin, and running it in onnxruntime as the file says, without optimisations."""
from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from pytorch_quantization_c.torch import enable_onnx_export
from pytorch_quantization_c.torch.nn import TensorQuantizer


class InFloat32(nn.Module):
    """A module of another type between float32 inputs and outputs, which every runtime can take."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner.to(dtype), dtype

    def forward(self, x: Any) -> Any:
        return self.inner(x.to(self.dtype)).float()


def calibrated(model: nn.Module, *inputs: Any) -> nn.Module:
    quantizers = [each for each in model.modules() if isinstance(each, TensorQuantizer)]
    for each in quantizers:
        each.disable_quant()
        each.enable_calib()
    with torch.no_grad():
        model(*inputs)
    for each in quantizers:
        each.load_calib_amax()
        each.disable_calib()
        each.enable_quant()
    return model.eval()


def export(model: nn.Module, x: Any, opset: int = 17, float8: str = "trt", dynamo: bool = False) -> onnx.ModelProto:
    file = io.BytesIO()
    with warnings.catch_warnings(), enable_onnx_export(float8=float8):
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        options: dict[str, Any] = {"verbose": False} if dynamo else {}
        torch.onnx.export(model, (x,), file, input_names=["x"], opset_version=opset, dynamo=dynamo, **options)
    return onnx.load_from_string(file.getvalue())


def run(file: onnx.ModelProto, x: Any) -> Any:
    onnx.checker.check_model(file)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


def kinds(file: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in file.graph.node]


def constants(file: onnx.ModelProto) -> set[str]:
    return {each.name for each in file.graph.initializer} | {
        node.output[0] for node in file.graph.node if node.op_type == "Constant"}


def one_step_apart(got: Any, wanted: Any, step: Any) -> int:
    """How many elements differ; asserts that none differs by more than a step of the quantiser, and few do."""
    distance = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    assert (distance <= 1.01 * step).all(), f"{(distance > 1.01 * step).sum()} of {distance.size} by more than a step"
    different = int((distance > 0.25 * step).sum())
    assert different <= 0.02 * distance.size, f"{different} of {distance.size} differ"
    return different

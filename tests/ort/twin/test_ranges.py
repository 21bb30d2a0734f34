"""Ranges that a file cannot hold as they are, and models in double precision."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from pytorch_quantization_c.torch import quant_modules
from pytorch_quantization_c.torch.nn import QuantLinear, TensorQuantizer

# Of torch, about its exporters: the older one is deprecated, the newer one uses what is, and converts between opsets.
pytestmark = pytest.mark.filterwarnings(
    "ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning",
    "ignore:The feature will be removed:DeprecationWarning", "ignore:.isinstance.treespec, LeafSpec:FutureWarning",
    "ignore::UserWarning:torch", "ignore::UserWarning:onnxscript")


def layer(amax: float) -> torch.nn.Module:
    torch.manual_seed(0)
    made = QuantLinear(4, 3)
    made.input_quantizer.amax = amax
    made.weight_quantizer.amax = 1.0
    return torch.nn.Sequential(made).eval()


def exported(model: torch.nn.Module, x: torch.Tensor, path: Any, dynamo: bool) -> Any:
    torch.onnx.export(model, (x,), str(path), dynamo=dynamo, opset_version=20, input_names=["x"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("amax", [float("nan"), float("inf")])
def test_a_range_that_is_not_finite_is_refused_by_name(amax: float, dynamo: bool, tmp_path: Any) -> None:
    model = layer(amax)
    with quant_modules.enable_onnx_export(), pytest.raises(Exception, match=r"finite amax.*'0\._input_quantizer'"):
        exported(model, torch.randn(2, 4), tmp_path / "x.onnx", dynamo)


@pytest.mark.parametrize("dynamo", [False, True])
def test_D27_a_range_of_zero_lets_nothing_through(dynamo: bool, tmp_path: Any) -> None:
    model, x = layer(0.0), torch.randn(2, 4) * 10
    with quant_modules.enable_onnx_export():
        answer = exported(model, x, tmp_path / "x.onnx", dynamo)
    assert np.allclose(answer, model[0].bias.detach().numpy(), atol=1e-30)


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_model_in_double_precision(dynamo: bool, tmp_path: Any) -> None:
    model, x = layer(2.0).double(), torch.randn(2, 4).double()
    with quant_modules.enable_onnx_export():
        answer = exported(model, x, tmp_path / "x.onnx", dynamo)
    assert np.allclose(answer, model(x).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("dynamo", [False, True])
def test_the_original_s_older_switch_exports(dynamo: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = layer(2.0), torch.randn(2, 4)
    assert TensorQuantizer.use_fb_fake_quant is False
    if dynamo:
        with pytest.raises(Exception, match="enable_onnx_export.*use_fb_fake_quant"):
            exported(model, x, tmp_path / "x.onnx", dynamo)
    monkeypatch.setattr(TensorQuantizer, "use_fb_fake_quant", True)
    answer = exported(model, x, tmp_path / "x.onnx", dynamo)
    assert b"QuantizeLinear" in (tmp_path / "x.onnx").read_bytes()
    assert np.allclose(answer, model(x).detach().numpy(), atol=1e-6)

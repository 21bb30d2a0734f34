"""Calibration, table and state file of a model of tensors; files go from one front to the other."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn
from pytorch_quantization_c import torch as twin
from pytorch_quantization_c.model.quantizers import named_quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def build(front: Any, modules: Any, **descriptors: Any) -> Any:
    return modules.Sequential(front.nn.QuantConv2d(1, 3, 2), modules.ReLU(), modules.Flatten(),
                              front.nn.QuantLinear(27, 2, **descriptors))


@pytest.fixture
def calibrated() -> Any:
    torch.manual_seed(0)
    histogram = twin.tensor_quant.QuantDescriptor(calib_method="histogram")
    model = build(twin, torch.nn, quant_desc_input=histogram)
    with twin.calibrating(model, load_amax=True, method="percentile", percentile=99.0):
        model(torch.randn(5, 1, 4, 4))
    return model


def amaxs(model: Any) -> list[Any]:
    return [np.asarray(quantizer.amax) for _, quantizer in named_quantizers(model)]


def test_summary(calibrated: Any) -> None:
    rows = twin.quant_summary(calibrated, io.StringIO())
    assert [row.state for row in rows] == ["quant"] * 4 and type(rows[1].amax) is np.ndarray
    assert rows[1].amax.shape == (3, 1, 1, 1)


def test_state_files_go_from_one_front_to_the_other(calibrated: Any, tmp_path: Path) -> None:
    x = torch.randn(2, 1, 4, 4)
    wanted = calibrated(x).detach().numpy()
    ours, theirs = build(pq, float_nn), build(twin, torch.nn)
    twin.save_quant_state(calibrated, tmp_path / "q")
    assert pq.load_quant_state(ours, tmp_path / "q") == ([], [])
    ours.load_state_dict({name: tensor.numpy() for name, tensor in calibrated.state_dict().items()})
    np.testing.assert_allclose(ours(x.numpy()), wanted, rtol=1e-5, atol=1e-6)
    pq.save_quant_state(ours, tmp_path / "back")
    twin.load_quant_state(theirs, tmp_path / "back")
    theirs.load_state_dict(calibrated.state_dict())
    torch.testing.assert_close(theirs(x), calibrated(x))
    for one, other in zip(amaxs(theirs), amaxs(calibrated), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [type(quantizer._calibrator) for _, quantizer in named_quantizers(theirs)] == [
        type(quantizer._calibrator) for _, quantizer in named_quantizers(calibrated)]


def test_a_calibrator_file_loads_into_a_new_calibrator(tmp_path: Path) -> None:
    first, second = (twin.calib.MaxCalibrator(8, None, False) for _ in range(2))
    first.collect(torch.tensor([1.0, -3.0]))
    first.save(tmp_path / "c")
    second.load(tmp_path / "c")
    assert float(second.compute_amax()) == 3


def test_learnt_limits_stay_the_parameters_of_an_optimiser(tmp_path: Path) -> None:
    learnt = QuantDescriptor(learn_amax=True, amax=2.0)
    first, second = (twin.nn.TensorQuantizer(learnt) for _ in range(2))
    with torch.no_grad():
        first.clip.clip_value_max.fill_(5.0)
    limit = second.clip.clip_value_max
    twin.save_quant_state(first, tmp_path / "q")
    twin.load_quant_state(second, tmp_path / "q")
    assert second.clip.clip_value_max is limit and limit.item() == 5 and limit.requires_grad


def test_sensitivity_is_that_of_the_arrays_and_changes_nothing() -> None:
    torch.manual_seed(0)
    four = twin.tensor_quant.QuantDescriptor(4)
    model = torch.nn.Sequential(twin.nn.QuantConv2d(1, 3, 2, quant_desc_weight=four), torch.nn.BatchNorm2d(3),
                                torch.nn.Dropout(), torch.nn.Flatten(), twin.nn.QuantLinear(27, 2)).train()
    on_arrays = float_nn.Sequential(pq.nn.QuantConv2d(1, 3, 2, quant_desc_weight=QuantDescriptor(4)),
                                    float_nn.BatchNorm2d(3), float_nn.Dropout(), float_nn.Flatten(),
                                    pq.nn.QuantLinear(27, 2))
    on_arrays.load_state_dict({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = [torch.randn(5, 1, 4, 4), torch.randn(3, 1, 4, 4)]
    gradients = []
    model[0].register_forward_hook(lambda *_: gradients.append(torch.is_grad_enabled()))

    report = twin.sensitivity(model, batches)
    assert report.rows[0].layer == "0"
    wanted = pq.sensitivity(on_arrays, [batch.numpy() for batch in batches]).to_dict()
    assert report.to_dict() == pytest.approx(wanted, abs=0.05)
    assert gradients == [False] * 6 and torch.is_grad_enabled()
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_sensitivity_takes_bfloat16_outputs_and_leaves_gradients_to_a_metric() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(twin.nn.QuantLinear(6, 4)).bfloat16()
    report = twin.sensitivity(model, [torch.randn(3, 6, dtype=torch.bfloat16)])
    assert 20 < report.rows[0].value < 60

    def steepness(net: torch.nn.Module) -> float:
        x = torch.ones(1, 6, dtype=torch.bfloat16, requires_grad=True)
        net(x).sum().backward()
        assert x.grad is not None
        return x.grad.norm().item()

    assert twin.sensitivity(model, metric=steepness).rows[0].value > 0

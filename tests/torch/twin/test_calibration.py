"""Calibrating blocks on tensors: what differs from the NumPy package's is only where the numbers lie."""
from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor


def histogram_layer() -> Any:
    torch.manual_seed(0)
    return nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(calib_method="histogram"))


def test_a_second_block_starts_afresh_and_an_aborted_one_leaves_nothing() -> None:
    small, large = torch.randn(50, 3), 7 * torch.randn(50, 3)
    layer, fresh = histogram_layer(), histogram_layer()
    with torch.no_grad():
        with pytest.raises(KeyError), twin.calibrating(layer):
            layer(large)
            raise KeyError
        assert layer.input_quantizer._calibrator.compute_amax() is None
        with twin.calibrating(layer, load_amax=True):
            layer(small)
            layer(large)
        for made in (layer, fresh):
            with twin.calibrating(made, load_amax=True):
                made(small)
    assert torch.equal(layer.input_quantizer.amax, fresh.input_quantizer.amax)
    assert len(layer.input_quantizer._calibrator._calib_hist) == 2048


@pytest.mark.parametrize("method", ["max", "histogram"])
def test_D29_not_finite(method: str) -> None:
    layer = nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(calib_method=method))
    x = torch.tensor([[1.0, float("nan"), -2.0]])
    with torch.no_grad():
        with pytest.raises(ValueError, match="'_input_quantizer'.*nonfinite"), twin.calibrating(layer):
            layer(x)
        with twin.calibrating(layer, load_amax=True, nonfinite="ignore"):
            layer(x)
    assert 0 < layer.input_quantizer.amax <= 2


def test_layers_that_were_not_reached() -> None:
    model = torch.nn.Sequential(nn.QuantLinear(3, 4), nn.QuantLinear(4, 2), nn.QuantLSTM(2, 3))
    with twin.calibrating(model, load_amax=True, strict=False):
        model[0](torch.ones(1, 3))
    assert model[1].input_quantizer.amax is None
    assert torch.equal(model[1].weight_quantizer.amax, model[1].weight.detach().abs().amax(1, keepdim=True))
    joined = torch.cat([model[2].weight_ih_l0, model[2].weight_hh_l0], 1).detach()
    assert torch.equal(model[2]._weight_quantizers[0].amax, joined.abs().amax(1, keepdim=True))
    assert not model[1].weight_quantizer.amax.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_D28_an_empty_batch(dtype: torch.dtype) -> None:
    for descriptor in (QuantDescriptor(), QuantDescriptor(axis=1), QuantDescriptor(axis=1, calib_method="histogram")):
        quantizer = nn.TensorQuantizer(descriptor, if_calib=True)
        outputs = quantizer(torch.empty(0, 3, dtype=dtype, requires_grad=True))
        assert outputs.shape == (0, 3) and outputs.dtype == dtype and quantizer._calibrator.compute_amax() is None
    with torch.no_grad():
        assert nn.QuantConv2d(3, 4, 3)(torch.empty(0, 3, 8, 8)).shape == (0, 4, 6, 6)


def test_D30_an_axis_that_is_not_there() -> None:
    for method in ("max", "histogram"):
        check_refused(nn.TensorQuantizer(QuantDescriptor(axis=2, name="fc", calib_method=method)))


def check_refused(quantizer: Any) -> None:
    with pytest.raises(ValueError, match=r"the axis 2 of .*'fc' .*shape \(4, 3\)"):
        quantizer(torch.ones(4, 3))
    quantizer.enable_calib()
    quantizer.disable_quant()
    with pytest.raises(ValueError, match=r"the axis 2 of .*'fc' .*shape \(4, 3\)"):
        quantizer(torch.ones(4, 3))


@pytest.mark.parametrize(("layer", "depends"), [
    (torch.nn.BatchNorm2d(3), True), (torch.nn.Dropout(0.5), True), (torch.nn.AlphaDropout(0.5), True),
    (torch.nn.SyncBatchNorm(3), True), (torch.nn.TransformerEncoderLayer(4, 2), True), (torch.nn.RReLU(), True),
    (torch.nn.MultiheadAttention(4, 2, dropout=0.1), True), (torch.nn.LSTM(2, 2, 2, dropout=0.1), True),
    (torch.nn.Dropout(0.0), False), (torch.nn.MultiheadAttention(4, 2), False), (torch.nn.LayerNorm(3), False),
    (torch.nn.BatchNorm1d(3, track_running_stats=False), False)], ids=lambda each: type(each).__name__)
def test_training_mode_is_warned_of(layer: Any, depends: bool, caplog: pytest.LogCaptureFixture) -> None:
    for training in (True, False):
        caplog.clear()
        model = torch.nn.ModuleDict({"first": nn.QuantLinear(3, 2), "second": layer}).train(training)
        with caplog.at_level(logging.WARNING), torch.no_grad(), twin.calibrating(model, load_amax=True):
            model["first"](torch.ones(1, 3))
        told = [record.getMessage() for record in caplog.records if "training mode" in record.getMessage()]
        assert len(told) == (depends and training)


def test_D26_and_D31(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    quantizer = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", name="fc"), if_quant=False, if_calib=True)
    quantizer(torch.from_numpy(np.append(rng.uniform(0, 1, 100_000), [0, 1e5]).astype(np.float32)))
    with caplog.at_level(logging.WARNING):
        quantizer.load_calib_amax("percentile", percentile=99.99)
    assert quantizer.amax > 1 and any("'fc'" in record.getMessage() for record in caplog.records)
    pooled = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"), if_quant=False, if_calib=True)
    pooled(torch.from_numpy(rng.uniform(0.6, 2, 50_000).astype(np.float32)))
    pooled.load_calib_amax("entropy")
    assert 1.98 < pooled.amax <= 2

"""Where the histogram calibrator and weight calibration differ from the original on purpose, row by row."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import nn
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator, calibrate_weights
from pytorch_quantization_c.calib.histogram import _compute_amax_entropy
from pytorch_quantization_c.float_nn import Sequential
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def collected(*batches: Any, **options: Any) -> Any:
    calibrator = HistogramCalibrator(8, options.pop("axis", None), False, **options)
    for batch in batches:
        calibrator.collect(batch)
    return calibrator


def test_D01_entropy_leaves_the_histogram(rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=5000))
    calibrator = collected(x, torch_hist=False)
    before = calibrator._calib_hist.copy()
    amax = calibrator.compute_amax("entropy")
    np.testing.assert_array_equal(calibrator._calib_hist, before)
    assert before[0] != before[1] and calibrator.compute_amax("entropy") == amax


@pytest.mark.parametrize("torch_hist", [True, False])
def test_D07_edges_are_bins_and_one(torch_hist: bool) -> None:
    """Growth by nearly whole bins, where the rounding of float32 makes one edge more or less."""
    for whole in range(1, 60):
        for top in (1.0, 0.1, 19.3 / 193, 134.4 / 192):
            first = np.float32([0, top])
            for factor in (1, 1 + 1e-7, 1 - 1e-7):
                calibrator = collected(first, np.float32([top * (1 + whole / 128) * factor]), num_bins=128,
                                       torch_hist=torch_hist)
                assert len(calibrator._calib_bin_edges) == len(calibrator._calib_hist) + 1
                assert calibrator.compute_amax("mse", start_bin=8) > 0


def test_D08_candidates_without_a_number_are_skipped() -> None:
    """The first 40 bins are empty: candidates among them have no divergence, and one above them wins."""
    hist = np.zeros(64, np.int64)
    hist[40:60] = np.arange(20, 0, -1)
    amax = _compute_amax_entropy(hist, np.arange(65, dtype=np.float32), 4, False, 1, 8)
    assert 40 < amax <= 64
    assert _compute_amax_entropy(np.zeros(64, np.int64), np.arange(65, dtype=np.float32), 4, False, 1, 8) == 64


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
def test_D09_zeros_first(options: dict[str, Any], rng: np.random.Generator) -> None:
    """The range is that of the first batch that has one, and the zeros are counted; all zeros give amax 0."""
    x, zeros = np.float32(rng.normal(size=900)), np.zeros(100, np.float32)
    late = collected(zeros, zeros, x, **options)
    early = collected(np.concatenate([zeros, x, zeros]), **options)
    np.testing.assert_array_equal(late._calib_hist, early._calib_hist)
    np.testing.assert_array_equal(late._calib_bin_edges, early._calib_bin_edges)
    for method in ("entropy", "mse", "percentile"):
        assert collected(zeros, **options).compute_amax(method) == 0
        assert collected(zeros, skip_zeros=True, **options).compute_amax(method) == 0


def test_D10_calibrate_weights_works_everywhere(rng: np.random.Generator) -> None:
    weight = np.float32(rng.normal(size=(5, 400)))
    weight[2] = 0
    layer = nn.QuantLinear(400, 5, quant_desc_weight=QuantDescriptor(axis=0))
    layer.weight[...] = weight
    for method in ("max", "mse", "percentile"):
        model = Sequential(layer)
        layer.weight_quantizer._buffers.pop("_amax", None)
        calibrate_weights(model, method)
        amax = layer.weight_quantizer.amax
        assert amax.shape == (5, 1) and amax[2] == 0 and (amax[[0, 1, 3, 4]] > 0.5).all()
    layer.weight_quantizer._buffers.pop("_amax")
    calibrate_weights(model, "max", perchannel=False)
    assert layer.weight_quantizer.amax == np.abs(weight).max()
    for bins in (8, 100):       # percentile answers an edge, a multiple of the width
        layer.weight_quantizer._buffers.pop("_amax")
        calibrate_weights(model, "percentile", perchannel=False, percentile=90.0, num_bins=bins)
        edges = np.linspace(0, np.abs(weight).max(), bins + 1)
        assert np.isclose(layer.weight_quantizer.amax, edges, rtol=1e-6).any()


def test_D22_a_histogram_for_each_channel(rng: np.random.Generator) -> None:
    x = np.float32(rng.normal(size=(6, 3, 50)) * [[1], [10], [0]])
    quantizer = nn.TensorQuantizer(QuantDescriptor(axis=1, calib_method="histogram"), if_quant=False, if_calib=True)
    quantizer(x)
    for method in ("entropy", "mse", "percentile"):
        amax = quantizer._calibrator.compute_amax(method)
        alone = [collected(x[:, i]).compute_amax(method) for i in range(3)]
        assert amax.shape == (1, 3, 1) and amax.ravel().tolist() == alone


def test_D23_compute_amax_has_one_form() -> None:
    x = np.float32([1, -3])
    largest, histogram = MaxCalibrator(8, None, False), HistogramCalibrator(8, None, False)
    e4m3 = HistogramCalibrator((4, 3), None, False)
    for calibrator in (largest, histogram, e4m3):
        calibrator.collect(x)
        assert 0 < calibrator.compute_amax() <= 3
    assert histogram.compute_amax() == histogram.compute_amax("entropy", stride=1, start_bin=128)
    assert e4m3.compute_amax() == e4m3.compute_amax("mse")
    used = {None: ("stride", "start_bin"), "entropy": ("stride", "start_bin"), "mse": ("stride", "start_bin"),
            "percentile": ("percentile",)}
    for calibrator, method in ((largest, None), (largest, "max"), *((histogram, method) for method in used)):
        ignored = {name: value for name, value in (("stride", 3), ("start_bin", 1), ("percentile", 50.0))
                   if calibrator is largest or name not in used[method]}
        assert calibrator.compute_amax(method, **ignored) == calibrator.compute_amax(method)
        with pytest.raises(TypeError, match="stride, start_bin, percentile, got 'colour'"):
            calibrator.compute_amax(method, colour=1)

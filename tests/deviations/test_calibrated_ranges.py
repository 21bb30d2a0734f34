"""Where calibrated ranges differ from the original's on purpose, row by row."""
from __future__ import annotations

import contextlib
import logging
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import calibrating, nn
from pytorch_quantization_c.calib import HistogramCalibrator, MaxCalibrator
from pytorch_quantization_c.calib.histogram import _compute_amax_entropy
from pytorch_quantization_c.integer import float_only
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

METHODS = ("entropy", "mse", "percentile")
EVERY_CALIBRATOR = [lambda axis: MaxCalibrator(8, axis, False), lambda axis: HistogramCalibrator(8, axis, False),
                    lambda axis: HistogramCalibrator(8, axis, False, torch_hist=False),
                    lambda axis: HistogramCalibrator(8, axis, False, grow_method="double")]


def sqnr(x: Any, amax: Any) -> float:
    error = oracle.integer(x, np.float32(amax), 8, False, False)[1].astype(np.float64) - x
    return float(10 * np.log10((x.astype(np.float64) ** 2).sum() / (error ** 2).sum()))


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
def test_D26_an_outlier_leaves_percentile_a_range(options: dict[str, Any], rng: np.random.Generator,
                                                  caplog: pytest.LogCaptureFixture) -> None:
    x = np.append(np.float32(rng.uniform(0, 1, 100_000)), np.float32([0, 1e5]))
    calibrator = HistogramCalibrator(8, None, False, **options)
    calibrator.name = "fc.input"
    calibrator.collect(x)
    with caplog.at_level(logging.WARNING):
        amax = calibrator.compute_amax("percentile", percentile=99.99)
    assert amax == calibrator._calib_bin_edges[1] > 0 and (x <= amax).mean() >= 0.9999
    assert [r for r in caplog.records if "'fc.input'" in r.getMessage() and "One bin" in r.getMessage()]
    zeros = HistogramCalibrator(8, None, False, **options)
    zeros.collect(np.zeros(100, np.float32))
    assert zeros.compute_amax("percentile") == 0


@pytest.mark.parametrize("make", EVERY_CALIBRATOR)
@pytest.mark.parametrize("axis", [None, 1])
def test_D28_an_empty_batch_counts_as_nothing(make: Any, axis: Any, rng: np.random.Generator) -> None:
    x, empty = np.float32(rng.normal(size=(50, 3))), np.empty((0, 3), np.float32)
    with_empty, without = make(axis), make(axis)
    for batch in (empty, x, empty):
        with_empty.collect(batch)
    assert make(axis).compute_amax() is None
    without.collect(x)
    assert repr(with_empty) == repr(without)
    oracle.same(with_empty.compute_amax(), without.compute_amax())


@pytest.mark.parametrize(("layer", "arguments", "shape", "wanted"), [
    ("QuantLinear", (3, 4), (0, 3), (0, 4)), ("QuantConv2d", (3, 4, 3), (0, 3, 8, 9), (0, 4, 6, 7)),
    ("QuantConvTranspose1d", (3, 4, 3), (0, 3, 8), (0, 4, 10)), ("QuantAvgPool2d", (2,), (0, 3, 8, 8), (0, 3, 4, 4)),
    ("QuantInstanceNorm2d", (3,), (0, 3, 8, 8), (0, 3, 8, 8)), ("QuantLSTM", (3, 4), (5, 0, 3), (5, 0, 4))])
def test_D28_a_layer_answers_an_empty_array(layer: str, arguments: Any, shape: Any, wanted: Any) -> None:
    made = getattr(nn, layer)(*arguments)
    for block in (contextlib.nullcontext, float_only):
        with block():
            outputs = made(np.empty(shape, np.float32))
        assert (outputs[0] if isinstance(outputs, tuple) else outputs).shape == wanted


@pytest.mark.parametrize("descriptor", [{"axis": 0}, {"fake_quant": False}, {"num_bits": (4, 3)}, {"unsigned": True},
                                        {"scale_amax": 0.5}], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_D28_a_range_in_flight(descriptor: dict[str, Any], dtype: type) -> None:
    outputs = nn.TensorQuantizer(QuantDescriptor(**descriptor))(np.empty((2, 0, 3), dtype))
    assert outputs.shape == (2, 0, 3) and outputs.dtype == dtype


@pytest.mark.parametrize("method", ["max", "histogram"])
@pytest.mark.parametrize(("bad", "counted"), [(np.nan, "1 NaN and 0 infinite"), (-np.inf, "0 NaN and 1 infinite")])
def test_D29_calibrating_refuses_or_leaves_out(method: str, bad: float, counted: str, rng: np.random.Generator) -> None:
    layer = nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(calib_method=method))
    good = np.float32(rng.normal(size=(50, 3)))
    spoilt = good.copy()
    spoilt[7, 1] = bad
    with np.errstate(all="ignore"):
        with pytest.raises(ValueError, match=rf"'_input_quantizer', got {counted}.*nonfinite=\"ignore\""), \
                calibrating(layer, load_amax=True):
            layer(good)
            layer(spoilt)
        assert layer.input_quantizer.amax is None and layer.input_quantizer._calibrator.compute_amax() is None
        with calibrating(layer, load_amax=True, nonfinite="ignore"):
            layer(spoilt)
            layer(np.full((2, 3), bad, np.float32))
    found = float(layer.input_quantizer.amax)
    without = np.abs(good.ravel()[np.arange(good.size) != 7 * 3 + 1])
    assert found == without.max() if method == "max" else 0 < found <= without.max() * 1.001
    with pytest.raises(ValueError, match="`nonfinite` to be 'raise' or 'ignore', got 'drop'"), \
            calibrating(layer, nonfinite="drop"):
        raise AssertionError


def test_D29_each_channel_leaves_out_its_own() -> None:
    layer = nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(axis=1))
    x = np.float32([[1, np.nan, 3], [np.inf, 2, -4]])
    with np.errstate(all="ignore"), calibrating(layer, load_amax=True, nonfinite="ignore"):
        layer(x)
    assert layer.input_quantizer.amax.tolist() == [[1, 2, 4]]


@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_D30_an_axis_that_is_not_there_is_named(axis: Any) -> None:
    x = np.ones((4, 3), np.float32)
    named = axis if isinstance(axis, int) else 2
    message = rf"the axis {named} of .*'fc' .*shape \(4, 3\)"
    quantizer = nn.TensorQuantizer(QuantDescriptor(axis=axis, name="fc"))
    with pytest.raises(ValueError, match=message):
        quantizer(x)
    for make in EVERY_CALIBRATOR:
        calibrator = make(axis)
        calibrator.name = "fc"
        with pytest.raises(ValueError, match=message):
            calibrator.collect(x)


@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}])
@pytest.mark.parametrize("low", [0.3, 0.6, 1.5])
def test_D31_entropy_of_data_away_from_zero(low: float, options: dict[str, Any], rng: np.random.Generator,
                                            caplog: pytest.LogCaptureFixture) -> None:
    x = np.float32(rng.uniform(low, 2, 50_000))
    calibrator = HistogramCalibrator(8, None, False, **options)
    calibrator.name = "pool.input"
    calibrator.collect(x)
    with caplog.at_level(logging.WARNING):
        amax = calibrator.compute_amax("entropy")
    assert amax > 0.99 * x.max() and sqnr(x, amax) > 45 and not caplog.records


def test_D31_an_amax_that_clips_is_logged_with_the_name(rng: np.random.Generator,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    calibrator = HistogramCalibrator(2, None, False)
    calibrator.name = "fc.input"
    calibrator.collect(np.float32(rng.normal(size=20_000)))
    with caplog.at_level(logging.WARNING):
        calibrator.compute_amax("mse")
        calibrator.compute_amax("percentile", percentile=99.9)
        calibrator.compute_amax("percentile", percentile=90)       # asked for
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and "'fc.input'" in told[0] and "'mse'" in told[0] and "clips" in told[0]


def test_D31_without_a_candidate_nothing_is_clipped() -> None:
    counts, edges = np.zeros(2048, np.int64), np.linspace(0, 1, 2049, dtype=np.float32)
    counts[-1] = 1000
    assert _compute_amax_entropy(counts, edges, 8, False, 100, 128) == 1


@pytest.mark.parametrize("method", METHODS)
def test_doubling_never_answers_above_the_last_filled_bin(method: str, rng: np.random.Generator) -> None:
    one_hot = np.zeros(1000, np.float32)
    one_hot[3] = 1
    for x in (one_hot, np.float32(rng.normal(size=3000)), np.float32([0.25, 0.3, 4.1]), np.ones(7, np.float32)):
        for bits in (2, 4, 8):
            calibrator = HistogramCalibrator(bits, None, False, grow_method="double")
            calibrator.collect(x)
            edges = calibrator._calib_bin_edges
            top = edges[np.flatnonzero(calibrator._calib_hist)[-1] + 1]
            options = [{"percentile": 100}, {}] if method == "percentile" else [{}, {"start_bin": 2000}, {"stride": 7}]
            for given in options:
                assert 0 < calibrator.compute_amax(method, **given) <= top

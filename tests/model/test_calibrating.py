"""Calibrating a model in a block."""
from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.model.calibrating import calibrating
from pytorch_quantization_c.model.quantizers import named_quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


@pytest.fixture
def model() -> float_nn.Module:
    return float_nn.Sequential(nn.QuantLinear(3, 4), float_nn.ReLU(), nn.QuantLinear(4, 2))


def flags(model: float_nn.Module) -> list[tuple[bool, bool, bool]]:
    return [(q._if_quant, q._if_calib, q._disabled) for _, q in named_quantizers(model)]


def amaxs(model: float_nn.Module) -> list[Any]:
    return [q.amax for _, q in named_quantizers(model)]


def test_collects_without_quantising_and_loads_at_the_end(model: Any, rng: np.random.Generator) -> None:
    batches = rng.normal(size=(3, 5, 3)).astype(np.float32)
    first, last = model[0], model[2]
    with calibrating(model, load_amax=True) as same:
        assert same is model and set(flags(model)) == {(False, True, False)}
        hidden = [np.maximum(x @ np.asarray(first.weight).T + first.bias, 0) for x in batches]
        for x, h in zip(batches, hidden, strict=True):
            np.testing.assert_allclose(model(x), h @ np.asarray(last.weight).T + last.bias, rtol=1e-5, atol=1e-6)
    assert set(flags(model)) == {(True, False, False)}
    oracle.same(first.input_quantizer.amax, np.abs(batches).max())
    oracle.same(first.weight_quantizer.amax, oracle.largest(np.asarray(first.weight), [0]))
    np.testing.assert_allclose(last.input_quantizer.amax, np.abs(hidden).max(), rtol=1e-5)


def test_nothing_is_loaded_unless_asked(model: Any) -> None:
    with calibrating(model):
        model(np.ones((1, 3), np.float32))
    assert amaxs(model) == [None] * 4
    model[0].input_quantizer.load_calib_amax()
    assert float(model[0].input_quantizer.amax) == 1


def test_everything_is_restored_after_an_exception(model: Any) -> None:
    model[0].input_quantizer.disable()
    model[2].weight_quantizer.disable_quant()
    model[2].input_quantizer.enable_calib()
    before = flags(model)
    with pytest.raises(KeyError), calibrating(model, load_amax=True):
        model(np.ones((1, 3), np.float32))
        assert flags(model) == [(True, False, True), (False, True, False), (False, True, False), (False, True, False)]
        raise KeyError
    assert flags(model) == before and amaxs(model) == [None] * 4


def test_a_quantiser_without_data_leaves_all_as_it_was(model: Any) -> None:
    model[0].input_quantizer.amax = 3.0
    with pytest.raises(RuntimeError, match=r"2\._input_quantizer: Calibrator returned None"), \
            calibrating(model, load_amax=True):
        model[0](np.ones((1, 3), np.float32))
    assert [None if amax is None else float(amax) for amax in amaxs(model)] == [3.0, None, None, None]
    with calibrating(model, load_amax=True, strict=False):
        model[0](np.ones((1, 3), np.float32))
    assert float(model[0].input_quantizer.amax) == 1 and model[2].input_quantizer.amax is None


def histogram_layer() -> Any:
    return nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(calib_method="histogram"))


def collected(layer: Any) -> list[Any]:
    return [repr(quantizer._calibrator) for _, quantizer in named_quantizers(layer)]


def test_a_second_block_starts_afresh_unless_it_resumes(rng: np.random.Generator) -> None:
    """Also the number of bins, which growth has changed."""
    small, large = np.float32(rng.normal(size=(50, 3))), np.float32(7 * rng.normal(size=(50, 3)))
    layer, fresh, both = histogram_layer(), histogram_layer(), histogram_layer()
    for made in (fresh, both):
        made.weight[...] = layer.weight
    with calibrating(layer, load_amax=True):
        layer(small)
        layer(large)
    with calibrating(layer, load_amax=True):
        layer(small)
    with calibrating(fresh, load_amax=True):
        fresh(small)
    assert collected(layer) == collected(fresh) and layer.input_quantizer.amax == fresh.input_quantizer.amax
    with calibrating(layer, load_amax=True, resume=True):
        layer(large)
    with calibrating(both, load_amax=True):
        both(small)
        both(large)
    assert collected(layer) == collected(both) and layer.input_quantizer.amax == both.input_quantizer.amax


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("problem", [KeyError, KeyboardInterrupt])
def test_an_aborted_block_leaves_nothing_behind(resume: bool, problem: type[BaseException],
                                                rng: np.random.Generator) -> None:
    layer, x = histogram_layer(), np.float32(rng.normal(size=(50, 3)))
    layer.weight_quantizer._calibrator._track_amax = True
    for _ in range(2):
        before, names = collected(layer), [quantizer.name for _, quantizer in named_quantizers(layer)]
        with pytest.raises(problem), calibrating(layer, resume=resume):
            layer(9 * x)
            raise problem
        assert collected(layer) == before
        assert [quantizer.name for _, quantizer in named_quantizers(layer)] == names
        with calibrating(layer):
            layer(x)


def test_both_ends_of_a_range_stay_if_one_quantiser_has_no_data() -> None:
    descriptor = QuantDescriptor(8, zero_point=True)
    model: Any = float_nn.Sequential(*(nn.QuantLinear(3, 3, quant_desc_input=descriptor) for _ in range(3)))
    first, second = (model[index]._input_quantizer for index in (0, 1))
    with calibrating(model, load_amax=True, strict=False):
        model[0](np.array([[-1.0, 0.5, 2.0]], np.float32))
    with pytest.raises(RuntimeError, match="Calibrator returned None"), calibrating(model, load_amax=True):
        for index in (0, 1):
            model[index](np.array([[-8.0, 0.5, 9.0]], np.float32))
    assert (first.amax, first._state("_amin")) == (2.0, -1.0)
    assert (second.amax, second._state("_amin")) == (None, None)


def test_layers_that_were_not_reached(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    """With strict=False their weights take their own values, their inputs stay as they are: never NaN."""
    model = float_nn.Sequential(nn.QuantLinear(3, 4), nn.QuantConvTranspose1d(2, 3, 2), nn.QuantLSTM(2, 3),
                                nn.QuantLSTMCell(2, 3), nn.QuantLinear(4, 2))
    seen, transposed, lstm, cell, known = (model[i] for i in range(5))
    known.input_quantizer.amax = 3.0
    known.weight_quantizer._calibrator = pq.calib.HistogramCalibrator(8, 0, False)
    with caplog.at_level(logging.WARNING), calibrating(model, load_amax=True, strict=False):
        seen(np.ones((1, 3), np.float32))
    assert seen.input_quantizer.amax == 1 and transposed.input_quantizer.amax is None
    assert known.input_quantizer.amax == 3
    oracle.same(transposed.weight_quantizer.amax, oracle.largest(np.asarray(transposed.weight), [1]))
    for layer, suffix in ((lstm, "_l0"), (cell, "")):
        joined = np.concatenate([getattr(layer, f"weight_{part}{suffix}") for part in ("ih", "hh")], 1)
        quantizer = cell._weight_quantizer if layer is cell else lstm._weight_quantizers[0]
        oracle.same(quantizer.amax, oracle.largest(joined, [0]))
    assert (np.asarray(known.weight_quantizer.amax) > 0).all()
    assert all(amax is None or np.isfinite(amax).all() for amax in amaxs(model))
    told = [record.getMessage() for record in caplog.records if "saw no data" in record.getMessage()]
    assert len(told) == 1 and "1._input_quantizer" in told[0]
    assert set(flags(model)) == {(True, False, False)}


def test_a_block_that_loads_nothing_says_so_once(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    x = np.ones((1, 3), np.float32)
    with caplog.at_level(logging.WARNING):
        with calibrating(model):
            model(x)
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 1 and "4 ranges are still dynamic" in told[0] and "load_amax=True" in told[0]
        caplog.clear()
        with calibrating(model, load_amax=True):
            model(x)
        with pytest.raises(KeyError), calibrating(model):
            raise KeyError
    assert not caplog.records


class Block(float_nn.Module):
    """Modules whose result depends on the mode, and those that only look so."""

    def __init__(self, *layers: float_nn.Module) -> None:
        super().__init__()
        self.first, self.layers = nn.QuantLinear(3, 4), float_nn.ModuleList(layers)

    def forward(self, x: Any) -> Any:
        return self.first(x)


@pytest.mark.parametrize(("layer", "depends"), [
    (float_nn.BatchNorm2d(3), True), (float_nn.Dropout(0.5), True), (float_nn.Dropout2d(0.1), True),
    (float_nn.InstanceNorm2d(3, track_running_stats=True), True), (float_nn.LSTM(2, 3, 2, dropout=0.5), True),
    (float_nn.BatchNorm1d(3, track_running_stats=False), False), (float_nn.Dropout(0.0), False),
    (float_nn.InstanceNorm2d(3), False), (float_nn.LayerNorm(3), False), (nn.QuantLSTM(2, 3, 2), False)], ids=str)
@pytest.mark.parametrize("call", [
    lambda model, x: calibrate(model, x), lambda model, x: pq.sensitivity(model, [x]),
    lambda model, x: pq.freeze(model)], ids=["calibrating", "sensitivity", "freeze"])
def test_training_mode_is_warned_of(layer: Any, depends: bool, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    x = np.ones((2, 3), np.float32)
    for training in (True, False):
        caplog.clear()
        model = Block(layer).train(training)
        with caplog.at_level(logging.WARNING):
            call(model, x)
        told = [record.getMessage() for record in caplog.records if "training mode" in record.getMessage()]
        assert len(told) == (depends and training)
        assert all("layers.0" in text and type(layer).__name__ in text and "model.eval()" in text for text in told)


def calibrate(model: Any, x: Any) -> None:
    with calibrating(model, load_amax=True, strict=False):
        model(x)


def test_a_quantiser_without_a_calibrator_does_not_quantise_meanwhile(model: Any) -> None:
    model[0].input_quantizer._calibrator = None
    with calibrating(model, load_amax=True):
        assert flags(model)[0] == (False, False, False)
        model(np.ones((1, 3), np.float32))
    assert flags(model)[0] == (True, False, False) and amaxs(model)[0] is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_are_reported_with_the_name(model: Any, bad: float,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    model[0].weight_quantizer.name = "mine"
    with caplog.at_level(logging.WARNING), np.errstate(all="ignore"), calibrating(model, nonfinite="ignore"):
        model(np.array([[1, bad, 1]], np.float32))
        model(np.array([[1, bad, 1]], np.float32))
    told = [record.getMessage() for record in caplog.records]
    assert [text for text in told if "'0._input_quantizer'" in text] == [
        "NaN or infinity in the calibration data of quantiser '0._input_quantizer'"]
    assert not any("mine" in text for text in told)
    assert [q.name for _, q in named_quantizers(model)] == ["0._input_quantizer", "mine", "2._input_quantizer",
                                                            "2._weight_quantizer"]


def test_options_go_to_calibrators_that_take_them(rng: np.random.Generator) -> None:
    layer = nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(calib_method="histogram"))
    x = rng.normal(size=(50, 3)).astype(np.float32)
    with calibrating(layer, load_amax=True, method="percentile", percentile=90.0):
        layer(x)
    ordered = np.sort(np.abs(x).ravel())
    one_bin = ordered[-1] / 2048
    assert ordered[133] - one_bin <= layer.input_quantizer.amax <= ordered[136] + one_bin    # 90 % of 150 are 135
    oracle.same(layer.weight_quantizer.amax, oracle.largest(np.asarray(layer.weight), [0]))


@pytest.mark.parametrize("arguments", [{"load_amax": True, "method": "entropy"}, {"method": "max"}, {"percentile": 99}],
                         ids=str)
def test_options_that_nobody_takes_are_refused_before_the_block(model: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="only with `load_amax` and a calibrator that takes a method"), \
            calibrating(model, **arguments):
        raise AssertionError
    assert set(flags(model)) == {(True, False, False)}


def test_a_model_without_quantisers_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected `model` to have quantisers"), calibrating(float_nn.Linear(2, 2)):
        raise AssertionError
    assert pq.calibrating is calibrating

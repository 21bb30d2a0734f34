"""Calibrating a model in a block."""
from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.calibration import calibrating
from pytorch_quantization_c.summary import named_quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from . import oracle


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
    assert float(model[0].input_quantizer.amax) == 1 and np.isnan(model[2].input_quantizer.amax)


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
    with caplog.at_level(logging.WARNING), np.errstate(all="ignore"), calibrating(model):
        model(np.array([[1, bad, 1]], np.float32))
        model(np.array([[1, bad, 1]], np.float32))
    told = [record.getMessage() for record in caplog.records]
    assert [text for text in told if "'0._input_quantizer'" in text] == [
        "NaN or infinity in the calibration data of quantizer '0._input_quantizer'"]
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
    with pytest.raises(ValueError, match="Expected `model` to have quantizers"), calibrating(float_nn.Linear(2, 2)):
        raise AssertionError
    assert pq.calibrating is calibrating

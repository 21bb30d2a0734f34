"""TensorQuantizer: its stages against the formulas, its switches, its state, its texts and what it refuses."""
from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytorch_quantization_c.float_nn import Module
from pytorch_quantization_c.nn import TensorQuantizer
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


def make(**desc: Any) -> TensorQuantizer:
    return TensorQuantizer(QuantDescriptor(**desc))


X = np.random.default_rng(3).normal(size=(3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 1), [0, 2], (0, 1, 2)])
def test_dynamic_range(dtype: type, axis: Any) -> None:
    x = X.astype(dtype)
    kept = axis if axis is None or isinstance(axis, tuple | list) else (axis,)
    amax = oracle.largest(x, kept)
    oracle.same(make(axis=axis)(x), oracle.integer(x, amax, 8, False, False)[1])
    oracle.same(make(axis=axis, scale_amax=0.5, narrow_range=True)(x),
                oracle.integer(x, oracle.floats(amax) * 0.5, 8, False, True)[1])
    oracle.same(make(axis=axis, num_bits=(4, 3))(x), oracle.e4m3(x, amax))


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=6),
                  elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
       st.integers(2, 16), st.booleans(), st.sampled_from([None, 0, -1]))
def test_any_array(x: Any, num_bits: int, narrow_range: bool, axis: int | None) -> None:
    quantizer = make(num_bits=num_bits, narrow_range=narrow_range, axis=axis)
    wanted = oracle.integer(x, oracle.largest(x, None if axis is None else (axis,)), num_bits, False, narrow_range)[1]
    oracle.same(quantizer(x), wanted)


def test_fixed_range_of_any_shape() -> None:
    for amax in (1.5, [1.0, 2.0, 3.0, 4.0, 5.0], np.full((4, 1), 0.5), np.ones((1, 1, 1))):
        quantizer = make(amax=amax)
        oracle.same(quantizer(X), oracle.integer(X, np.asarray(amax, np.float32), 8, False, False)[1])
        oracle.same(quantizer.step_size, quantizer.amax / np.float32(127))


def test_real_quantisation_is_narrow_and_leaves_its_scale() -> None:
    quantizer = make(fake_quant=False, axis=0, narrow_range=False)
    assert quantizer.scale is None and "scale" not in quantizer.extra_repr()
    whole, _, scale = oracle.integer(X, oracle.largest(X, (0,)), 8, False, True)
    oracle.same(quantizer(X), whole)
    oracle.same(quantizer.scale, scale)
    per_tensor = make(fake_quant=False)
    per_tensor(X)
    assert f"scale={float(per_tensor.scale)}" in per_tensor.extra_repr()


def test_stages_and_switches() -> None:
    quantizer = make()
    x, other = X, X * 4
    quantizer.pre_quant_scale = 2.0
    fake = oracle.integer(x * 2, oracle.largest(x * 2), 8, False, False)[1]
    oracle.same(quantizer(x), fake)
    quantizer.disable()
    oracle.same(quantizer(x), x * 2)
    quantizer.enable()
    quantizer.disable_quant()
    oracle.same(quantizer(x), x * 2)
    quantizer.enable_calib()
    oracle.same(quantizer(x), x * 2)
    quantizer.disable_calib()
    quantizer(other)
    quantizer.load_calib_amax()
    oracle.same(quantizer.amax, oracle.largest(x * 2))
    quantizer.enable_quant()
    oracle.same(quantizer(x), fake)
    bare = TensorQuantizer(disabled=True)
    assert bare(x) is x and TensorQuantizer(if_quant=False)(x) is x


def test_pre_quant_scale_keeps_the_type_of_the_input() -> None:
    quantizer = TensorQuantizer(disabled=True)
    quantizer.pre_quant_scale = [0.5, 1.5, 2.5, 3.5, 4.5]
    for dtype in (np.float16, np.float32, np.float64):
        x = X.astype(dtype)
        oracle.same(quantizer(x), (oracle.floats(x) * np.float32([0.5, 1.5, 2.5, 3.5, 4.5])).astype(dtype))


def test_learnt_range() -> None:
    quantizer = make(learn_amax=True, amax=1.5)
    assert quantizer.clip.clip_value_min.requires_grad and "learned" in repr(quantizer) and "clip" in repr(quantizer)
    clipped = oracle.clip(X, -1.5, 1.5)
    oracle.same(quantizer(X), oracle.integer(clipped, 1.5, 8, False, False)[1])
    quantizer.disable_quant()
    oracle.same(quantizer(X), clipped)
    quantizer.disable_clip()
    assert not quantizer.clip.clip_value_max.requires_grad
    assert quantizer(X) is X
    quantizer.enable_clip()
    quantizer.enable_quant()
    quantizer.amax = 0.5
    quantizer.init_learn_amax()
    oracle.same(quantizer(X), oracle.integer(oracle.clip(X, -0.5, 0.5), 0.5, 8, False, False)[1])
    quantizer.clip.clip_value_min[...] = -2
    oracle.same(quantizer(X), oracle.integer(oracle.clip(X, -2, 0.5), 2.0, 8, False, False)[1])


def test_learning_starts_from_the_maximum_of_several() -> None:
    quantizer = make(learn_amax=True)
    quantizer.load_state_dict({"_amax": np.float32([1, 3, 2])}, strict=False)
    quantizer.init_learn_amax()
    assert quantizer.clip.clip_value_min == -3 and quantizer.clip.clip_value_max == 3


def test_calibration_without_data() -> None:
    quantizer = make()
    with pytest.raises(RuntimeError, match="Calibrator returned None.*strict=False"):
        quantizer.load_calib_amax()
    assert quantizer.amax is None
    quantizer.load_calib_amax(strict=False)
    assert np.isnan(quantizer.amax) and quantizer.amax.dtype == np.float32
    oracle.same(quantizer(X), np.full_like(X, np.nan))
    quantizer._calibrator = None
    with pytest.raises(RuntimeError, match="Calibrator not created"):
        quantizer.load_calib_amax()
    with pytest.raises(ValueError, match="Calibrator was not created"):
        quantizer.enable_calib()
    assert "calibrator" not in quantizer.extra_repr()
    quantizer._if_calib = True
    with pytest.raises(RuntimeError, match="Calibrator was not created"):
        quantizer(X)


def test_a_calibrated_amax_that_does_not_fit_is_refused() -> None:
    quantizer = make(amax=1.0, axis=0)
    quantizer.enable_calib()
    quantizer(X)
    with pytest.raises(RuntimeError, match=r"shape \(\), as the present one, got \(3, 1, 1\)"):
        quantizer.load_calib_amax()
    assert quantizer.amax == 1
    other = make(amax=[1.0, 2.0], axis=0)
    other.enable_calib()
    other.disable_quant()
    other(np.float32([1, 2, 3]))
    with pytest.raises(RuntimeError, match=r"shape \(2,\), as the present one, got \(3,\)"):
        other.load_calib_amax()
    wide = make(amax=np.ones((3, 1, 1)))
    wide.enable_calib()
    wide(X)
    wide.load_calib_amax()
    oracle.same(wide.amax, np.full((3, 1, 1), np.abs(X).max()))


def test_nan_in_calibration_is_reported_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(name="conv1 input"), if_calib=True)
    with caplog.at_level(logging.WARNING):
        quantizer(np.float32([1, np.inf]))
        quantizer(np.float32([1, np.nan]))
    assert [record.getMessage() for record in caplog.records] == [
        "NaN or infinity in the calibration data of quantiser 'conv1 input'"]


def test_setting_amax(caplog: pytest.LogCaptureFixture) -> None:
    quantizer = make()
    quantizer.amax = 3
    amax = quantizer.amax
    quantizer.amax = np.float64(2.5)
    assert quantizer.amax is amax and amax == 2.5 and amax.dtype == np.float32
    with pytest.raises(RuntimeError, match=r"Changing shape.*expected \(\), got \(2,\)"):
        quantizer.amax = [1.0, 2.0]
    with pytest.raises(ValueError, match="`amax` >= 0, got -1.0"):
        quantizer.amax = -1.0
    with pytest.raises(TypeError, match="got str"):
        quantizer.amax = "large"
    with caplog.at_level(logging.WARNING):
        quantizer.amax = None
    assert amax == 2.5 and "amax to None" in caplog.text
    doubles = make()
    doubles.amax = np.array([1.5])
    assert doubles.amax.dtype == np.float64
    source = np.float32([1.0])
    taken = make()
    taken.amax = source
    assert not np.shares_memory(taken.amax, source)


def test_what_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Expected `amax` to be an array"):
        TensorQuantizer().amax = "1"
    with pytest.raises(TypeError, match="Expected `pre_quant_scale` to be an array"):
        TensorQuantizer().pre_quant_scale = "1"


def test_properties() -> None:
    quantizer = make(num_bits=4, axis=1, unsigned=True)
    assert (quantizer.num_bits, quantizer.axis, quantizer.unsigned, quantizer.narrow_range, quantizer.fake_quant,
            quantizer.maxbound, quantizer.scale, quantizer.amax, quantizer.pre_quant_scale, quantizer.step_size,
            quantizer.name) == (4, 1, True, False, True, 15, 1.0, None, None, None, None)
    quantizer.num_bits, quantizer.unsigned, quantizer.narrow_range = 8, False, True
    oracle.same(quantizer(X), oracle.integer(X, oracle.largest(X, (1,)), 8, False, True)[1])
    for bits, bound in (((4, 3), 448.0), (0, 0), (1, 0), (32, 2 ** 31 - 1)):
        quantizer.num_bits = bits
        assert quantizer.maxbound == bound
    for wrong, error in ((2.5, TypeError), ((5, 3), TypeError), (True, TypeError), (-1, ValueError), (33, ValueError)):
        with pytest.raises(error, match="`num_bits`"):
            quantizer.num_bits = wrong
    for name in ("axis", "fake_quant", "maxbound", "scale", "step_size"):
        with pytest.raises(AttributeError):
            setattr(quantizer, name, 1)


@pytest.mark.parametrize(("desc", "text"), [
    ({}, "8bit fake per-tensor amax=dynamic calibrator=MaxCalibrator scale=1.0 quant"),
    ({"num_bits": 4, "unsigned": True, "narrow_range": True, "axis": (0, 1), "amax": [0.5, 2.0]},
     "unsigned 4bit narrow fake axis=(0, 1) amax=[0.5000, 2.0000](2) calibrator=MaxCalibrator scale=1.0 quant"),
    ({"fake_quant": False, "scale_amax": 0.5, "amax": 1.0},
     "8bit per-tensor amax=1.0000 *0.5 calibrator=MaxCalibrator quant"),
    ({"learn_amax": True},
     "8bit fake per-tensor amax=dynamic learned calibrator=MaxCalibrator scale=1.0 quant clip")])
def test_texts(desc: dict[str, Any], text: str) -> None:
    quantizer = make(**desc)
    assert quantizer.extra_repr() == text
    assert repr(quantizer).startswith(f"TensorQuantizer({text}" if "learn_amax" not in desc
                                      else f"TensorQuantizer(\n  {text}\n  (clip): Clip()")
    quantizer.disable()
    assert quantizer.extra_repr() == "disabled"


class Pair(Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = make(), make(learn_amax=True)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 1)])
def test_state_goes_through_a_model(shape: tuple[int, ...]) -> None:
    model, other = Pair(), Pair()
    model.first.amax = np.full(shape, 2.0, np.float32)
    model.second.clip.clip_value_max[...] = 3
    state = copy.deepcopy(model.state_dict())
    assert list(state) == ["first._amax", "second.clip.clip_value_min", "second.clip.clip_value_max"]
    assert not other.load_state_dict(state).missing_keys
    oracle.same(other.first.amax, state["first._amax"])
    assert other.second.clip.clip_value_max == 3
    with pytest.raises(RuntimeError, match="Missing key.*first._amax"):
        other.load_state_dict({key: value for key, value in state.items() if "first" not in key})
    changed = {**state, "first._amax": np.ones(7, np.float32)}
    with pytest.raises(RuntimeError, match="size mismatch for first._amax"):
        other.load_state_dict(changed)
    oracle.same(other.first.amax, state["first._amax"])


def test_copies_are_whole_and_independent() -> None:
    quantizer = make(name="n", fake_quant=False, axis=0, num_bits=5)
    quantizer.enable_calib()
    quantizer(X)
    twins = copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))
    assert [repr(twin) for twin in twins] == [repr(quantizer)] * 2
    for twin in twins:
        assert twin.name == "n"
        twin(X * 9)
        twin.load_calib_amax()
        quantizer.load_calib_amax()
        oracle.same(twin.amax, oracle.largest(X * 9, (0,)))
        oracle.same(quantizer.amax, oracle.largest(X, (0,)))


def test_export_needs_an_amax() -> None:
    class Exported(TensorQuantizer):
        _enable_onnx_export = True

    quantizer = Exported()
    with pytest.raises(RuntimeError, match="has not been calibrated"):
        quantizer(X)
    quantizer.amax = 2.0
    oracle.same(quantizer(X), oracle.integer(X, 2.0, 8, False, False)[1])
    floats = Exported(QuantDescriptor(num_bits=(4, 3), amax=[1.0, 2.0]), if_calib=True)
    with pytest.raises(RuntimeError, match=r"amax of one element, got shape \(2,\)"):
        floats(X)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="`quant_desc` to be a QuantDescriptor, got int"):
        TensorQuantizer(8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="learn_amax is False"):
        TensorQuantizer(if_clip=True)
    with pytest.raises(ValueError, match="one element, got shape"):
        make(learn_amax=True, amax=[1.0, 2.0])
    quantizer = make()
    for call, error, message in ((quantizer.enable_clip, ValueError, "learn_amax is False"),
                                 (quantizer.disable_clip, AttributeError, "learn_amax is False"),
                                 (quantizer.init_learn_amax, RuntimeError, "learn_amax=False"),
                                 (make(learn_amax=True).init_learn_amax, AttributeError, "no amax"),
                                 (lambda: quantizer(np.arange(3)), TypeError, "int"),
                                 (lambda: quantizer("text"), TypeError, "`inputs`"),
                                 (lambda: quantizer(None), TypeError, "`inputs`"),
                                 (lambda: make(amax=[1.0, 2.0])(X), ValueError, "broadcast"),
                                 (lambda: make(unsigned=True)(X), TypeError, "Negative values encountered")):
        with pytest.raises(error, match=message):
            call()

"""Where TensorQuantizer, its calibrator and its descriptor differ from the original on purpose, row by row."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from pytorch_quantization_c.calib import MaxCalibrator
from pytorch_quantization_c.nn import Clip, QuantConvTranspose1d, TensorQuantizer
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


@pytest.mark.parametrize("axis", [-1, -2, -3, (-1, 0), [-2]])
def test_D04_a_negative_axis_means_that_axis(axis: object, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    kept = (axis,) if isinstance(axis, int) else axis
    oracle.same(TensorQuantizer(QuantDescriptor(axis=axis))(x),
                oracle.integer(x, oracle.largest(x, kept), 8, False, False)[1])
    calibrator = MaxCalibrator(8, axis, False)
    calibrator.collect(x)
    oracle.same(calibrator.compute_amax(), oracle.largest(x, kept))


def test_D05_a_loaded_amax_is_a_copy() -> None:
    quantizer = TensorQuantizer(if_calib=True, if_quant=False)
    quantizer(np.float32([1, -2]))
    quantizer.load_calib_amax()
    before = quantizer.amax
    quantizer(np.float32([7]))
    assert quantizer.amax is before and before == 2
    amax = quantizer._calibrator.compute_amax()
    amax[...] = 100
    assert quantizer._calibrator.compute_amax() == 7
    calibrator = MaxCalibrator(8, None, False, track_amax=True)
    for value in (1, 3, 2):
        calibrator.collect(np.float32([value]))
    assert [float(each) for each in calibrator.amaxs] == [1, 3, 2]


def test_D06_an_unknown_calib_method_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="`calib_method` to be 'max' or 'histogram', got 'median'"):
        QuantDescriptor(calib_method="median")


def test_D12_clip_takes_numbers_that_are_not_learnt() -> None:
    x = np.float32([-3, 0.5, 3])
    for learn_min, learn_max in ((False, False), (True, False), (False, True), (True, True)):
        np.testing.assert_array_equal(Clip(-1, 2.0, learn_min, learn_max)(x), np.float32([-1, 0.5, 2]))


@pytest.mark.parametrize("options", [
    {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"num_bits": (4, 3)}, {"num_bits": (4, 3), "axis": 1, "amax": 2.5},
    {"amax": [1.0, 2.0]}, {"amax": np.float32([[0.1], [0.2]])}, {"name": "a {brace} and {_amax}"},
    {"narrow_range": True}, {"calib_method": "histogram"}, {"amax": float("nan")}], ids=str)
def test_D13_every_descriptor_round_trips(options: dict) -> None:
    descriptor = QuantDescriptor(**options)
    assert QuantDescriptor.from_yaml(descriptor.to_yaml()) == descriptor == QuantDescriptor(**descriptor.dict())
    assert descriptor != QuantDescriptor(num_bits=7)
    assert set(options) <= set(descriptor.dict())
    if "name" in options:
        assert str(descriptor) == "a {brace} and {_amax}: (8bit fake axis= per-tensor)"


def test_D21_step_size_knows_e4m3() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(num_bits=(4, 3), amax=448.0))
    assert quantizer.step_size == 32
    x = np.linspace(256, 448, 1000, dtype=np.float32)
    error = np.abs(quantizer(x) - x).max()
    assert 15 < error <= quantizer.step_size / 2
    assert TensorQuantizer(QuantDescriptor(num_bits=0, amax=1.0)).step_size is None


def test_D23_one_form_of_compute_amax() -> None:
    quantizer = TensorQuantizer(if_calib=True)
    quantizer(np.float32([3]))
    for arguments in ((), ("max",), (None,)):
        quantizer.load_calib_amax(*arguments)
        assert quantizer.amax == 3
    quantizer.load_calib_amax(percentile=99.9, stride=2, start_bin=5)
    assert quantizer.amax == 3
    with pytest.raises(TypeError, match="'colour'"):
        quantizer.load_calib_amax(colour=99.9)
    with pytest.raises(ValueError, match="`method` to be None or 'max' for MaxCalibrator, got 'entropy'"):
        quantizer.load_calib_amax("entropy")


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 1, 1), (0,)])
def test_D24_any_shape_of_amax_is_loaded_copied_and_pickled(shape: tuple[int, ...]) -> None:
    state = {"_amax": np.full(shape, 1.5, np.float32), "_pre_quant_scale": np.full(shape, 0.5, np.float32)}
    quantizer = TensorQuantizer()
    quantizer.load_state_dict(state)
    for twin in (quantizer, copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))):
        oracle.same(twin.amax, state["_amax"])
        oracle.same(twin.pre_quant_scale, state["_pre_quant_scale"])
        assert repr(twin) == repr(quantizer)
    copied = copy.deepcopy(quantizer)
    copied.amax[...] = 9
    oracle.same(quantizer.amax, state["_amax"])
    assert not np.shares_memory(quantizer.amax, state["_amax"])


def test_D32_small_floats_of_other_widths(rng: np.random.Generator) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = rng.normal(size=(64,)).astype(np.float32)
    x[0] = 57344.0                          # the largest of E5M2, so that the scale is 1
    found = TensorQuantizer(QuantDescriptor(num_bits=(5, 2)))(x)
    oracle.same(found, x.astype(ml_dtypes.float8_e5m2).astype(np.float32))
    for bad in ((7, 7), (0, 3), (5,)):
        with pytest.raises((TypeError, ValueError)):
            QuantDescriptor(num_bits=bad)


def test_D33_output_channels_of_grouped_transposed_convolutions(rng: np.random.Generator) -> None:
    layer = QuantConvTranspose1d(4, 4, 2, groups=2, quant_desc_weight=QuantDescriptor(8, axis=(0, 1)))
    layer.weight[...] = rng.normal(size=(4, 2, 2)) * np.arange(1, 9).reshape(4, 2, 1)
    weight = np.array(layer.weight)
    amax = np.stack([np.abs(weight[i // 2 * 2:i // 2 * 2 + 2]).max((0, 2)) for i in range(4)])[:, :, None]
    oracle.same(layer.weight_quantizer(weight), oracle.integer(weight, amax, 8, False, False)[1])
    oracle.same(TensorQuantizer(QuantDescriptor(8, axis=(0, 1)))(weight),  # one that is not such a layer's
                oracle.integer(weight, oracle.largest(weight, (0, 1)), 8, False, False)[1])

"""The file with the state of all quantisers."""
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c._core.packing import pack, unpack
from pytorch_quantization_c._core.safetensors import load_file, save_file
from pytorch_quantization_c.calib import HistogramCalibrator
from pytorch_quantization_c.model.quantizers import named_quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

SETTINGS = ["_num_bits", "_axis", "_fake_quant", "_unsigned", "_narrow_range", "_scale_amax", "_learn_amax",
            "_disabled", "_if_quant", "_if_clip", "_if_calib", "name"]


def fresh() -> float_nn.Module:
    model = float_nn.Module()
    model.conv, model.fc, model.rnn = nn.QuantConv2d(1, 3, 2), nn.QuantLinear(4, 2), nn.QuantLSTM(2, 2)
    model.alone = nn.TensorQuantizer()
    return model


def unusual() -> float_nn.Module:
    """Every setting, range and shape that a quantiser can have, before and after calibration."""
    model = fresh()
    model.conv = nn.QuantConv2d(1, 3, 2, quant_desc_input=QuantDescriptor(4, unsigned=True, amax=0.75, name="pixels"),
                                quant_desc_weight=QuantDescriptor(6, axis=(0, 1), narrow_range=True, scale_amax=0.9))
    model.fc = nn.QuantLinear(4, 2, quant_desc_input=QuantDescriptor((4, 3)),
                              quant_desc_weight=QuantDescriptor(learn_amax=True, amax=1.25))
    model.alone = nn.TensorQuantizer(QuantDescriptor(fake_quant=False, axis=[0]))
    model.alone(np.ones((2, 3), np.float32))
    model.conv.weight_quantizer.amax = np.linspace(0, 2, 3).reshape(3, 1, 1, 1)
    model.conv.input_quantizer.pre_quant_scale = np.float32([[[[2]]]])
    model.conv.input_quantizer.disable()
    model.fc.input_quantizer.amax = np.float32(np.nan)
    model.fc.weight_quantizer.disable_clip()
    model.fc.weight_quantizer.clip.clip_value_max[...] = 9
    quantizer = model.rnn._input_quantizers[0]
    quantizer._calibrator._track_amax = True
    quantizer.enable_calib()
    quantizer.disable_quant()
    quantizer(np.float32([3, -4]))
    quantizer(np.float32([1, -2]))
    return model


def assert_same(got: Any, wanted: Any) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, np.ndarray | np.generic):
            oracle.same(got[name], value)
        elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            for one, other in zip(got[name], value, strict=True):
                oracle.same(one, other)
        else:
            assert type(got[name]) is type(value) and (got[name] == value or value != value), name


def assert_equal_models(got: Any, wanted: Any) -> None:
    assert repr(got) == repr(wanted)
    ours, theirs = dict(named_quantizers(got)), dict(named_quantizers(wanted))
    assert ours.keys() == theirs.keys()
    for name, quantizer in theirs.items():
        own = ours[name]
        assert_same({key: vars(own)[key] for key in SETTINGS}, {key: vars(quantizer)[key] for key in SETTINGS})
        assert_same(own._buffers, quantizer._buffers)
        assert_same(dict(own.named_parameters()), dict(quantizer.named_parameters()))
        for one, other in zip(own.parameters(), quantizer.parameters(), strict=True):
            assert one.requires_grad == other.requires_grad
        assert type(own._calibrator) is type(quantizer._calibrator)
        assert_same(vars(own._calibrator), vars(quantizer._calibrator))
        oracle.same(np.asarray(own._scale), np.asarray(quantizer._scale))


@pytest.mark.parametrize("target", [fresh, unusual], ids=["before calibration", "after calibration"])
@pytest.mark.parametrize("source", [fresh, unusual], ids=["of a new model", "of a calibrated one"])
def test_nothing_is_lost(source: Any, target: Any, tmp_path: Path) -> None:
    saved, loaded = source(), target()
    weights = copy.deepcopy(loaded.fc.weight)
    pq.save_quant_state(saved, tmp_path / "q")
    assert pq.load_quant_state(loaded, tmp_path / "q") == ([], [])
    assert_equal_models(loaded, saved)
    oracle.same(loaded.fc.weight, weights)
    before = repr(loaded)
    saved.conv.input_quantizer.enable()
    saved.conv.input_quantizer.amax = np.float32(8)
    assert repr(loaded) == before


def test_a_calibration_goes_on_after_loading(tmp_path: Path) -> None:
    first, second = nn.QuantLinear(3, 2), nn.QuantLinear(3, 2)
    first.input_quantizer.enable_calib()
    first(np.float32([[1, -5, 2]]))
    pq.save_quant_state(first, tmp_path / "q")
    pq.load_quant_state(second, str(tmp_path / "q"))
    second(np.float32([[4, 0, 2]]))
    second.input_quantizer.load_calib_amax()
    assert float(second.input_quantizer.amax) == 5


def test_a_histogram_survives(tmp_path: Path, rng: np.random.Generator) -> None:
    histogram = QuantDescriptor(calib_method="histogram")
    first, second = (nn.TensorQuantizer(each) for each in (histogram, QuantDescriptor()))
    first.enable_calib()
    first(rng.normal(size=500).astype(np.float32))
    pq.save_quant_state(first, tmp_path / "q")
    pq.load_quant_state(second, tmp_path / "q")
    more = rng.normal(size=500).astype(np.float32) * 2
    for quantizer in (first, second):
        quantizer(more)
        quantizer.load_calib_amax("percentile", percentile=99.0)
    assert type(second._calibrator) is type(first._calibrator)
    oracle.same(second.amax, first.amax)


HISTOGRAMS: dict[str, Any] = {
    "edges": {"_calib_bin_edges": np.zeros(3, np.float32)}, "counts": {"_calib_hist": np.zeros(5, np.int64)},
    "type": {"_calib_hist": np.zeros(2048)}, "axes": {"_calib_hist": np.zeros((2048, 1), np.int64)},
    "nothing": {"_calib_hist": np.zeros(0, np.int64), "_calib_bin_edges": np.zeros(1, np.float32)},
    "below zero": {"_calib_hist": np.full(2048, -1)}, "NaN": {"_calib_bin_edges": np.full(2049, np.nan, np.float32)},
    "falling": {"_calib_bin_edges": np.arange(2049, 0, -1, dtype=np.float32)}, "bins": {"_num_bins": -1},
    "channels": {"_amax_shape": (7, 7)}, "list": {"_calib_hist": [np.zeros(2048, np.int64)]}}


@pytest.mark.parametrize("changes", HISTOGRAMS.values(), ids=HISTOGRAMS.keys())
def test_histograms_that_no_data_make_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram"))
    quantizer._calibrator.collect(np.ones(3, np.float32))
    vars(quantizer._calibrator).update(changes)
    pq.save_quant_state(quantizer, tmp_path / "q")
    with pytest.raises(ValueError, match="cannot be made from it"):
        pq.load_quant_state(nn.TensorQuantizer(), tmp_path / "q")


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("options", [{}, {"torch_hist": False}, {"grow_method": "double"}], ids=str)
@pytest.mark.parametrize("batches", [[], [0.0], [0.0, 3.0], [1.0, 2.5, 0.1]], ids=str)
def test_every_histogram_that_data_make_comes_back(axis: Any, options: Any, batches: Any, tmp_path: Path) -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(calib_method="histogram", axis=axis))
    quantizer._calibrator = HistogramCalibrator(8, axis, False, **options)
    for scale in batches:
        quantizer._calibrator.collect(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3) * np.float32(scale))
    other = nn.TensorQuantizer()
    pq.save_quant_state(quantizer, tmp_path / "q")
    pq.load_quant_state(other, tmp_path / "q")
    assert_equal_models(other, quantizer)


def test_the_arrays_have_the_names_of_the_state_dictionary(tmp_path: Path) -> None:
    model = unusual()
    pq.save_quant_state(model, tmp_path / "q")
    arrays, metadata = load_file(tmp_path / "q")
    state = {name: array for name, array in model.state_dict().items() if "quantizer" in name or "alone" in name}
    assert state and set(state) <= set(arrays)
    for name, array in state.items():
        oracle.same(arrays[name], array)
    assert json.loads(metadata["quantizers"])["conv._weight_quantizer"]["num_bits"] == 6


def test_other_names_are_refused_or_reported(tmp_path: Path) -> None:
    model = fresh()
    pq.save_quant_state(model, tmp_path / "q")
    other = float_nn.Module()
    other.fc, other.head = nn.QuantLinear(4, 2), nn.TensorQuantizer()
    model.fc.input_quantizer.amax = 2.0
    pq.save_quant_state(model, tmp_path / "q")
    with pytest.raises(ValueError, match=r"without \['head'\] and with \['conv._input_quantizer', 'conv._weight_quant"):
        pq.load_quant_state(other, tmp_path / "q")
    assert other.fc.input_quantizer.amax is None
    missing, unexpected = pq.load_quant_state(other, tmp_path / "q", strict=False)
    assert missing == ["head"] and len(unexpected) == 5 and float(other.fc.input_quantizer.amax) == 2


def test_a_calibrator_of_ones_own(tmp_path: Path) -> None:
    class Mean:
        def __init__(self) -> None:
            self.sums, self.options, self.limit = [np.ones(2)], {"deep": (1, [None, "a"])}, float("inf")

    first, second = nn.TensorQuantizer(), nn.TensorQuantizer()
    first._calibrator, second._calibrator = Mean(), Mean()
    second._calibrator.sums = second._calibrator.options = None
    pq.save_quant_state(first, tmp_path / "q")
    pq.load_quant_state(second, tmp_path / "q")
    assert vars(second._calibrator)["options"] == {"deep": (1, [None, "a"])} and second._calibrator.limit == np.inf
    oracle.same(second._calibrator.sums[0], np.ones(2))
    with pytest.raises(ValueError, match="its calibrator is a Mean, the model's is a MaxCalibrator"):
        pq.load_quant_state(nn.TensorQuantizer(), tmp_path / "q")
    first._calibrator.sums = {1, 2}
    with pytest.raises(TypeError, match="`_calibrator.sums` to be plain data that a file can hold, got set"):
        pq.save_quant_state(first, tmp_path / "q")
    first._calibrator = None
    pq.save_quant_state(first, tmp_path / "q")
    pq.load_quant_state(second, tmp_path / "q")
    assert second._calibrator is None


def changed(path: Path, **changes: Any) -> None:
    """Rewrites a file of one quantiser with other settings."""
    arrays, metadata = load_file(path)
    described = json.loads(metadata["quantizers"])
    described[""].update(changes)
    save_file(arrays, path, dict(metadata, quantizers=json.dumps(described)))


HOSTILE: dict[str, dict[str, Any]] = {
    "bits": {"num_bits": 99}, "bits a string": {"num_bits": "8"}, "bits a list": {"num_bits": [4, 3]},
    "axis": {"axis": "all"}, "scale": {"scale_amax": "big"}, "switch": {"if_quant": 1}, "name": {"name": 3},
    "learnt along an axis": {"learn_amax": True, "axis": 0}, "limits missing": {"learn_amax": True},
    "no array": {"scale_amax": {"array": "nothing"}}, "no kind": {"axis": {"code": "1"}},
    "calibrator": {"calibrator": 5}, "class": {"calibrator": {"class": "os.system", "state": {}}},
    "class a list": {"calibrator": {"class": []}},
    "unknown attribute": {"calibrator": {"class": "MaxCalibrator", "state": {"collect": 1}}},
    "dunder": {"calibrator": {"class": "MaxCalibrator", "state": {"__class__": "x"}}},
    "attribute of another type": {"calibrator": {"class": "MaxCalibrator", "state": {"_amaxs": "x"}}}}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_settings_are_refused_and_change_nothing(changes: dict[str, Any], tmp_path: Path) -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(num_bits=5))
    pq.save_quant_state(quantizer, tmp_path / "q")
    changed(tmp_path / "q", num_bits=4)
    pq.load_quant_state(quantizer, tmp_path / "q")
    assert quantizer.num_bits == 4
    changed(tmp_path / "q", num_bits=3, **changes) if "num_bits" not in changes else changed(tmp_path / "q", **changes)
    before = repr(quantizer)
    with pytest.raises(ValueError, match="Expected a file of quantisers, but the quantiser cannot be made from it"):
        pq.load_quant_state(quantizer, tmp_path / "q")
    assert repr(quantizer) == before and quantizer.num_bits == 4


@pytest.mark.parametrize(("metadata", "message"), [
    ({}, "its format is None"), ({"format": "pt"}, "its format is 'pt'"),
    ({"version": "2"}, "its version is '2'"), ({"quantizers": "{"}, "not valid JSON"),
    ({"quantizers": "[" * 100_000}, "not valid JSON"), ({"quantizers": "[]"}, "not those of named quantisers"),
    ({"quantizers": '{"": 1}'}, "not those of named quantisers"), ({"quantizers": '{"": {}}'}, "cannot be made")],
    ids=lambda value: str(value)[:40])
def test_other_files_are_refused(metadata: dict[str, str], message: str, tmp_path: Path) -> None:
    pq.save_quant_state(nn.TensorQuantizer(), tmp_path / "q")
    good = load_file(tmp_path / "q")[1] if metadata and metadata != {"format": "pt"} else {}
    save_file({}, tmp_path / "q", {**good, **metadata})
    with pytest.raises(ValueError, match=message):
        pq.load_quant_state(nn.TensorQuantizer(), tmp_path / "q")


def test_negative_amax_in_a_file_is_refused(tmp_path: Path) -> None:
    quantizer = nn.TensorQuantizer(QuantDescriptor(amax=1.0))
    pq.save_quant_state(quantizer, tmp_path / "q")
    save_file({"_amax": np.float32(-1)}, tmp_path / "q", load_file(tmp_path / "q")[1])
    with pytest.raises(ValueError, match="amax` >= 0, got -1"):
        pq.load_quant_state(quantizer, tmp_path / "q")


@pytest.mark.parametrize("value", [None, True, 3, -0.5, float("inf"), "text", (1, (2, [])), {"a": {"b": ()}}, [], {}],
                         ids=str)
def test_packing_keeps_types(value: Any) -> None:
    arrays: dict[str, Any] = {}
    packed = json.loads(json.dumps(pack(value, "key", arrays), allow_nan=False))
    assert unpack(packed, arrays) == value and type(unpack(packed, arrays)) is type(value) and arrays == {}


def test_packing_keeps_arrays_and_scalars() -> None:
    arrays: dict[str, Any] = {}
    back = unpack(pack([np.float32(2), {"x": np.ones((2, 1))}], "key", arrays), arrays)
    assert type(back[0]) is np.float32 and set(arrays) == {"key.0", "key.1.x"}
    oracle.same(back[1]["x"], np.ones((2, 1)))
    assert not np.shares_memory(back[1]["x"], arrays["key.1.x"])
    for odd in ({1: 2}, object(), {"a": b"bytes"}, np.float32):
        with pytest.raises(TypeError, match="plain data"):
            pack(odd, "key", arrays)

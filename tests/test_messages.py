"""Messages to people who use the library for the first time: what was wrong, and what to do."""
from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c._core.safetensors import save_file
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .process import run_python

X = np.ones((2, 3), np.float32)
REPLACE_FIRST = r"got none: call pq.replace\(model\) first"


def net() -> Any:
    return pq.replace(float_nn.Sequential(float_nn.Linear(3, 3), float_nn.ReLU(), float_nn.Linear(3, 2))).eval()


@pytest.mark.parametrize(("make", "shape"), [
    (lambda: nn.QuantLinear(3, 2), (2, 3)), (lambda: float_nn.Linear(3, 2), (2, 3)),
    (lambda: nn.QuantLSTM(3, 2), (4, 2, 3)), (lambda: nn.QuantConv1d(3, 2, 1), (1, 3, 4)),
    (lambda: nn.QuantConvTranspose1d(3, 2, 1), (1, 3, 4)), (lambda: float_nn.LSTM(3, 2), (4, 2, 3))],
    ids=["QuantLinear", "Linear", "QuantLSTM", "QuantConv1d", "QuantConvTranspose1d", "LSTM"])
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_an_input_of_another_type(make: Callable[[], Any], shape: tuple[int, ...], dtype: Any) -> None:
    message = f"`input` is {np.dtype(dtype)}, the layer's weights are float32: `x.astype(np.float32)`"
    with pytest.raises(TypeError, match=re.escape(message)):
        make()(np.ones(shape, dtype))


@pytest.mark.parametrize("load", [pq.load_quant_state, pq.load_frozen])
def test_a_file_into_a_float_model(load: Any, tmp_path: Path) -> None:
    model = net()
    if load is pq.load_quant_state:
        pq.save_quant_state(model, tmp_path / "file")
    else:
        pq.save_frozen(pq.freeze(model, keep_float=False), tmp_path / "file")
    with pytest.raises(ValueError, match="Expected `model` to have quantisers, " + REPLACE_FIRST):
        load(float_nn.Sequential(float_nn.Linear(3, 3), float_nn.ReLU(), float_nn.Linear(3, 2)), tmp_path / "file")


def test_a_float_model_is_to_be_frozen_or_measured(tmp_path: Path) -> None:
    model = float_nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"none: call pq.replace\(model\) first"):
        pq.freeze(model)
    with pytest.raises(ValueError, match=r"call pq.replace\(model\), calibrate and freeze it first"):
        pq.save_frozen(model, tmp_path / "file")
    with pytest.raises(ValueError, match=REPLACE_FIRST):
        pq.sensitivity(model, [X])


def zipped(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


@pytest.mark.parametrize(("write", "what"), [
    (zipped, "a zip archive, as np.savez and torch.save write"),
    (lambda path: path.write_bytes(b"\x93NUMPY" + bytes(122)), "an .npy file"),
    (lambda path: path.write_bytes(pickle.dumps(list(range(999)))), "a pickle"),
    (lambda path: path.write_text('{"format": "x", "layers": {}}'), "JSON")], ids=lambda each: str(each)[:12])
@pytest.mark.parametrize("load", [pq.load_quant_state, pq.load_frozen])
def test_a_file_that_is_no_safetensors_file(write: Any, what: str, load: Any, tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(ValueError, match=f"Expected a safetensors file, but got {re.escape(what)}"):
        load(net(), tmp_path / "file")


def test_a_header_as_long_as_a_pickle_begins_is_read(tmp_path: Path) -> None:
    for length in (0x0280, 0x0480, 0x0580):
        text = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'.ljust(length)
        (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + text)
        with pytest.raises(ValueError, match="its format is None: weights and ranges alone .* by load_state_dict"):
            pq.load_quant_state(net(), tmp_path / "file")


def test_files_of_the_library_that_another_function_loads(tmp_path: Path) -> None:
    model = net()
    pq.save_quant_state(model, tmp_path / "state")
    pq.save_frozen(pq.freeze(model, keep_float=False), tmp_path / "frozen")
    save_file({"weight": X}, tmp_path / "weights", {"format": "pt"})
    with pytest.raises(ValueError, match=r"call load_quant_state\(model, path\)"):
        pq.load_frozen(net(), tmp_path / "state")
    with pytest.raises(ValueError, match=r"call load_frozen\(model, path\)"):
        pq.load_quant_state(net(), tmp_path / "frozen")
    with pytest.raises(ValueError, match="by load_state_dict"):
        pq.load_quant_state(net(), tmp_path / "weights")


def test_a_folder_that_is_not_there_is_named_by_the_callers_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "state.safetensors"
    with pytest.raises(FileNotFoundError, match=f"in a folder that exists, '{path.parent}' does not") as caught:
        pq.save_quant_state(net(), path)
    assert caught.value.filename == str(path) and caught.value.errno
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as other:
        pq.save_quant_state(net(), tmp_path / "file" / "state")
    assert other.value.filename == str(tmp_path / "file" / "state")


@pytest.mark.parametrize("batches", [X, {"x": X}, "images"], ids=lambda each: type(each).__name__)
def test_one_batch_in_the_place_of_batches(batches: Any) -> None:
    with pytest.raises(TypeError, match=r"a list of batches, got one \w+: \[x\] is a list of one; a batch is an array"):
        pq.sensitivity(net(), batches)


@pytest.mark.parametrize("batch", [(X, np.zeros(2)), [X, np.zeros(2)]], ids=["tuple", "list"])
def test_batches_with_labels(batch: Any) -> None:
    message = r"of 2 items .* without labels: sensitivity\(model, \(x for x, y in loader\)\)"
    with pytest.raises(TypeError, match=message):
        pq.sensitivity(net(), [batch])


def test_ctrl_c_says_how_much_is_kept(tmp_path: Path) -> None:
    for resume, text in ((None, "1 of 2 layers are measured and lost: resume="),
                         (tmp_path / "s.json", "1 of 2 layers are measured and kept in .*s.json: the same call")):
        calls: list[int] = []

        def metric(model: Any, calls: list[int] = calls) -> float:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return 1.0

        with pytest.raises(KeyboardInterrupt, match=text):
            pq.sensitivity(net(), metric=metric, resume=resume)


def test_a_report_prints_itself_as_a_table() -> None:
    report = pq.sensitivity(net(), [X])
    assert repr(report) == str(report) and "SensitivityRow(" not in repr(report)
    assert report.baseline == math.inf


@pytest.mark.parametrize("value", ["no", "false", "off", "2", " "])
def test_an_environment_variable_that_is_neither_0_nor_1(value: str) -> None:
    done = run_python("-c", "import pytorch_quantization_c", PQC_INTEGER=value)
    wanted = f"Expected PQC_INTEGER to be 0 (compute on floats) or 1, got {value!r}"
    assert done.returncode == 1 and wanted in done.stderr


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_the_environment_variable_as_it_should_be(value: str) -> None:
    done = run_python("-c", "from pytorch_quantization_c import integer; print(integer.enabled())", PQC_INTEGER=value)
    assert done.stdout == f"{value != '0'}\n", done.stderr


HIDDEN = """
import sys
sys.modules["{package}"] = None
import pytorch_quantization_c as pq
try:
    {statement}
except ImportError as problem:
    print(problem)
"""


@pytest.mark.parametrize(("package", "extra", "statement"), [
    ("torch", "torch", "import pytorch_quantization_c.torch"),
    ("matplotlib", "plot", "pq.calib.plot(pq.calib.HistogramCalibrator(8, None, False))"),
    ("matplotlib", "plot", "pq.layer_sensitivity.Sensitivity('m', 0.0, ()).plot()"),
    ("dask", "dask", "from pytorch_quantization_c.calib import distributed; distributed.calibrate(int, [])")], ids=str)
def test_a_package_that_is_missing(package: str, extra: str, statement: str) -> None:
    done = run_python("-c", HIDDEN.format(package=package, statement=statement))
    wanted = f"Expected {package.capitalize() if package == 'dask' else package} to be installed: " \
             f"pip install 'pytorch-quantization-c[{extra}]'\n"
    assert done.stdout == wanted, done.stderr


def calibrated(**options: Any) -> None:
    with pq.calibrating(net(), load_amax=True, **options) as model:
        model(X)


def test_a_method_for_max_calibrators() -> None:
    with pytest.raises(TypeError, match=r"a method needs QuantDescriptor\(calib_method=\"histogram\"\)"):
        calibrated(method="entropy")
    with pytest.raises(ValueError, match=REPLACE_FIRST), pq.calibrating(float_nn.Linear(3, 2)):
        pass


def test_a_block_that_saw_no_batch() -> None:
    with pytest.raises(RuntimeError) as caught, pq.calibrating(net(), load_amax=True):
        pass
    assert str(caught.value) == "Expected the model to be called in the block: the block saw no batch"
    with pytest.raises(RuntimeError, match=r"2\._input_quantizer: .* not reached .*, nor 1 more: .*strict=False"), \
            pq.calibrating(net(), load_amax=True) as model:
        model[0](X)
    assert model[0].input_quantizer.amax is None


@pytest.mark.parametrize("percentile", [0.9999, 1, 49])
def test_a_percentile_that_is_a_fraction(percentile: float) -> None:
    model = pq.replace(float_nn.Linear(3, 2), quant_desc_input=QuantDescriptor(calib_method="histogram"))
    message = f"percentile={percentile} clips all but {percentile} % .* in percent, as 99.99"
    with pytest.warns(UserWarning, match=message):
        with pq.calibrating(model, load_amax=True, method="percentile", percentile=percentile):
            model(X)
    with pytest.warns(UserWarning, match="in percent"):
        pq.calib.calibrate_weights(model, "percentile", percentile=percentile)
    pq.calib.calibrate_weights(model, "percentile", percentile=50)


def test_a_state_dictionary_holds_ranges_and_not_bits() -> None:
    four, model = pq.replace(float_nn.Linear(3, 2), quant_desc_input=QuantDescriptor(4)), nn.QuantLinear(3, 2)
    with pytest.warns(UserWarning, match="num_bits 4 is loaded into quantisers with 8: .* save_quant_state") as caught:
        model.load_state_dict(four.state_dict())
    assert len(caught) == 1
    model.load_state_dict(nn.QuantLinear(3, 2).state_dict())
    model.load_state_dict(dict(four.state_dict()))      # from anywhere else: nothing is known of its bits


def test_arguments_in_the_wrong_place() -> None:
    with pytest.raises(TypeError, match=r"got the model Sequential: replace\(model\) quantises one that exists"):
        pq.initialize(net())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 'entropy': it searches a 'histogram', and is chosen when amax is loaded"):
        QuantDescriptor(calib_method="entropy")
    with pytest.raises(TypeError, match="`bias` to be a bool, got a QuantDescriptor: name the argument"):
        nn.QuantLinear(3, 2, QuantDescriptor(4))  # type: ignore[arg-type]


def test_weights_of_a_float_model(caplog: pytest.LogCaptureFixture) -> None:
    pq.calib.calibrate_weights(float_nn.Linear(3, 2))
    assert "No amax was set: the model has no layer with a weight quantiser" in caplog.text

"""What public code for the original does beside calling its documented functions."""
from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import calib, quant_modules, tensor_quant
from pytorch_quantization_c.torch import nn as quant_nn
from pytorch_quantization_c.torch.nn._functions import quant_rnn
from pytorch_quantization_c.torch.nn.modules import quant_conv
from pytorch_quantization_c.torch.nn.modules.tensor_quantizer import TensorQuantizer
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from ...process import run_python


def run(code: str) -> str:
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_twin_is_found() -> None:
    code = """
import importlib.metadata as metadata, importlib.util as util
import pytorch_quantization_c, pytorch_quantization_c.torch as twin
twin.install()
twin.install()
import pytorch_quantization
from pytorch_quantization import version
assert [metadata.version(name) for name in ("pytorch_quantization", "pytorch-quantization")] == ["2.2.1"] * 2
assert metadata.metadata("pytorch_quantization")["Name"] == "pytorch-quantization"
assert util.find_spec("pytorch_quantization") and util.find_spec("pytorch_quantization.nn.modules.quant_conv")
assert pytorch_quantization.__version__ == version.__version__ == "2.2.1" != pytorch_quantization_c.__version__
try:
    metadata.version("pytorch_quantisation")
except metadata.PackageNotFoundError:
    print("fine")
"""
    assert run(code) == "fine\n"


def test_entries_appended_to_the_table_count() -> None:
    entry = quant_modules._quant_entry(nn, "MaxPool2d", quant_nn.QuantMaxPool2d)
    assert quant_modules._quant_module_helper_object.default_quant_map is quant_modules._DEFAULT_QUANT_MAP
    quant_modules._DEFAULT_QUANT_MAP.append(entry)
    try:
        with quant_modules.quantized():
            assert nn.MaxPool2d is quant_nn.QuantMaxPool2d
    finally:
        quant_modules._DEFAULT_QUANT_MAP.remove(entry)
    assert nn.MaxPool2d is not quant_nn.QuantMaxPool2d


@pytest.mark.parametrize("name", [kind + size for kind in ("Conv", "ConvTranspose") for size in ("1d", "2d", "3d")])
def test_convolutions_are_no_float_convolutions(name: str) -> None:
    layer = getattr(quant_nn, "Quant" + name)(2, 4, 3)
    base = nn.modules.conv._ConvTransposeNd if "Transpose" in name else nn.modules.conv._ConvNd
    assert not isinstance(layer, getattr(nn, name)) and isinstance(layer, base)
    assert isinstance(quant_nn.QuantLinear(2, 2), nn.Linear)
    own = quant_conv._QuantConvTransposeNd if "Transpose" in name else quant_conv._QuantConvNd
    assert isinstance(layer, own)
    torch.manual_seed(0)
    wanted = getattr(nn, name)(2, 4, 3)
    turned = twin.replace(copy.deepcopy(wanted))
    assert type(turned) is type(layer)
    x = torch.randn(2, 2, *[6] * int(name[-2]))
    turned.input_quantizer.disable()
    turned.weight_quantizer.disable()
    assert torch.equal(turned(x), wanted(x))
    with pytest.raises(TypeError, match="`module`"):
        type(layer).from_float(nn.Linear(2, 2))


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular"])
def test_a_convolution_of_ones_own(padding_mode: str) -> None:
    class Own(quant_conv._QuantConvNd):
        def __init__(self, quant_desc: QuantDescriptor) -> None:
            super().__init__(2, 4, (3, 3), (1, 1), (1, 1), (1, 1), False, (0, 0), 1, True, padding_mode, quant_desc,
                             quant_desc)

        def forward(self, input: Any) -> Any:
            quantized, weight = self._quant(input)
            return nn.functional.conv2d(quantized, weight, self.bias, self.stride, 0)

    layer, x = Own(QuantDescriptor(num_bits=8)), torch.randn(1, 2, 5, 5)
    rounded = [tensor_quant.fake_tensor_quant(each, each.abs().max(), 8, False, False) for each in (x, layer.weight)]
    wanted = nn.functional.conv2d(*rounded, layer.bias)
    assert torch.equal(layer(x), wanted)
    transposed = quant_conv._QuantConvTransposeNd(2, 4, (3,), (1,), (0,), (1,), True, (0,), 1, True, "zeros",
                                                  QuantDescriptor(), QuantDescriptor(axis=1))
    assert transposed.weight.shape == (2, 4, 3) and transposed.weight_quantizer.axis == 1


OF_US = {"TensorQuantizer": ("name",), "MaxCalibrator": ("_warned", "_device", "name", "_nonfinite"),
         "HistogramCalibrator": ("_warned", "_device", "name", "_nonfinite", "_amax_shape", "_num_nan", "_num_inf")}


def as_the_original_pickles(model: Any) -> Any:
    """The model without what only this library's objects have, and with the original's tensors."""
    old = copy.deepcopy(model)
    for each in old.modules():
        if isinstance(each, TensorQuantizer):
            for holder in (each, each._calibrator):
                for name in OF_US[type(holder).__name__]:
                    vars(holder).pop(name, None)
            state = vars(each._calibrator)
            if state.get("_calib_amax") is not None:
                state["_calib_amax"] = torch.as_tensor(state["_calib_amax"])
            if state.get("_calib_hist") is not None:
                state["_calib_hist"] = torch.as_tensor(state["_calib_hist"]).float()
                state["_calib_bin_edges"] = torch.as_tensor(state["_calib_bin_edges"])
                state["_grow_method"] = "append"
    file = io.BytesIO()
    torch.save(old, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("method", ["max", "histogram"])
@pytest.mark.parametrize("make", [lambda d: quant_nn.QuantLinear(6, 3, quant_desc_input=d),
                                  lambda d: quant_nn.QuantLSTM(6, 3, quant_desc_input=d)])
def test_a_model_pickled_by_the_original_is_calibrated_again(method: str, make: Any) -> None:
    model, batches = make(QuantDescriptor(calib_method=method)), torch.rand(2, 4, 5, 6)
    with twin.calibrating(model):
        model(batches[0])
    old = as_the_original_pickles(model)
    for each in (model, old):
        with twin.calibrating(each, load_amax=True, resume=True):
            each(batches[1])
    first, again = model(batches[1]), old(batches[1])
    assert torch.equal(first[0], again[0])
    assert repr(model) == repr(old)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_tracers_read_properties_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    layer = quant_nn.QuantLinear(4, 2)
    with twin.calibrating(layer, load_amax=True):
        layer(torch.randn(3, 4))
    caplog.clear()
    torch.jit.trace(layer, torch.randn(3, 4), check_trace=False)
    assert not [record for record in caplog.records if record.name.startswith("pytorch_quantization_c")]
    assert layer.input_quantizer.scale == 1.0 and "no scale" in caplog.text


def test_the_library_follows_the_verbosity_of_absl() -> None:
    code = """
import sys, types, logging
absl = types.ModuleType("absl"); absl.logging = types.ModuleType("absl.logging")
sys.modules.update({"absl": absl, "absl.logging": absl.logging})
from pytorch_quantization_c.torch.nn import TensorQuantizer
TensorQuantizer().scale
logging.getLogger("absl").setLevel(logging.FATAL)      # as absl.logging.set_verbosity does
TensorQuantizer().scale
"""
    done = run_python("-c", code)
    assert done.returncode == 0 and done.stderr.count("no scale") == 1, done.stderr


def test_a_max_calibrator_keeps_a_tensor() -> None:
    calibrator = calib.MaxCalibrator(8, None, False)
    assert calibrator._calib_amax is None
    calibrator.collect(torch.tensor([1.0, -3.0]))
    assert isinstance(calibrator._calib_amax, torch.Tensor) and calibrator._calib_amax.item() == 3
    calibrator._calib_amax.fill_(5.0)       # as torch.distributed.all_reduce does
    calibrator.collect(torch.tensor([4.0]))
    assert calibrator.compute_amax().item() == 5
    calibrator._calib_amax = torch.tensor(7.0).bfloat16()
    assert calibrator.compute_amax().item() == 7 and copy.deepcopy(calibrator)._calib_amax.item() == 7


def test_the_original_s_private_functions() -> None:
    x, amax = torch.randn(5, 4), torch.tensor(1.0)
    outputs, scale = tensor_quant._tensor_quant(x, amax, 8, False, True)
    assert torch.equal(outputs, torch.clamp((x * 127).round(), -127, 127)) and scale == 127
    grads = torch.randn(5, 4)
    assert torch.equal(tensor_quant._fake_tensor_quant_backward(x, amax, grads), grads * (x.abs() <= 1))
    assert callable(tensor_quant._onnx_int8_helper)


@pytest.mark.parametrize("name", ["entropy", "mse", "percentile"])
def test_the_original_s_private_searches(name: str) -> None:
    calibrator = calib.HistogramCalibrator(8, None, False)
    calibrator.collect(torch.linspace(0.01, 1, 4000) ** 3 * 5)
    histogram = calibrator._calib_hist, calibrator._calib_bin_edges
    function = getattr(calib.histogram, f"_compute_amax_{name}")
    options = {"percentile": 99.0} if name == "percentile" else {"num_bits": 8, "unsigned": False}
    wanted = calibrator.compute_amax(name, **({"percentile": 99.0} if name == "percentile" else {}))
    for given in (histogram, [each.numpy() for each in histogram]):
        assert torch.equal(function(*given, **options), wanted)
    assert function(None, None, **options) is None


def test_edges_without_torch_hist_grow_as_numpy_adds_them() -> None:
    """By the original's formula, whose type is what NumPy makes of it: rounded in between, later edges move."""
    calibrator = calib.HistogramCalibrator(8, None, False, num_bins=200, torch_hist=False)
    batches = [torch.linspace(0.01, 1, 1000).numpy() * np.float32(factor) for factor in (1, 3, 9)]
    edges = np.histogram(batches[0], bins=200)[1]
    for batch in batches:
        calibrator.collect(torch.from_numpy(batch))
        width, top = edges[1] - edges[0], batch.max()
        if top > edges[-1]:
            edges = np.hstack([edges, np.arange(edges[-1] + width, top + width, width)])
        assert np.array_equal(calibrator._calib_bin_edges[:len(edges) - 1], edges[:-1])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("bits", [4, 8])
def test_a_trace_by_torch_s_own_operators_is_saved(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    desc = {"quant_desc_input": QuantDescriptor(num_bits=bits),
            "quant_desc_weight": QuantDescriptor(num_bits=bits, axis=0)}
    model, x = nn.Sequential(quant_nn.QuantConv2d(3, 4, 3, **desc), nn.ReLU()).eval(), torch.randn(2, 3, 6, 6)
    with twin.calibrating(model, load_amax=True):
        model(x)
    monkeypatch.setattr(TensorQuantizer, "use_fb_fake_quant", True)
    with torch.no_grad():
        traced, wanted = torch.jit.trace(model, x), model(x)
        file = io.BytesIO()
        torch.jit.save(traced, file)
        file.seek(0)
        answer = torch.jit.load(file)(x)
    kinds = [node.kind() for node in traced.inlined_graph.nodes()]
    assert "aten::fake_quantize_per_tensor_affine" in kinds and "prim::PythonOp" not in kinds
    assert torch.equal(answer, traced(x)) and (answer - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.parametrize("shape", [(), (1, 4), (4,), (3, 1)])
def test_fake_quantisation_by_torch_s_own_operators(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, amax = torch.randn(3, 4) * 2, torch.rand(shape) + 0.5
    for quantizer in (TensorQuantizer(), TensorQuantizer(QuantDescriptor(narrow_range=True))):
        wanted = tensor_quant.fake_tensor_quant(x, amax, 8, False, quantizer.narrow_range)
        assert torch.allclose(quantizer._fb_fake_quant(x, amax), wanted, atol=1e-6)
    assert torch.equal(TensorQuantizer()._fb_fake_quant(x, torch.zeros(())).round(), torch.zeros(3, 4))
    with pytest.raises(TypeError, match="along one axis"):
        quantizer._fb_fake_quant(x, torch.ones(3, 4))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers_are_quantised_as_in_the_original(dtype: torch.dtype) -> None:
    x, amax = torch.tensor([1, 2, 3]).to(dtype), torch.tensor(3.0)
    outputs, scale = tensor_quant.tensor_quant(x, amax)
    assert outputs.dtype == torch.float32 and outputs.tolist() == [42, 85, 127]
    assert scale.item() == pytest.approx(127 / 3)
    assert torch.equal(tensor_quant.fake_tensor_quant(x, amax), outputs / 42)
    assert torch.equal(tensor_quant.legacy_fake_tensor_quant(x, amax), outputs / 42)
    with pytest.raises(TypeError, match="`inputs`"):
        tensor_quant.fake_tensor_quant(x.to(torch.complex64), amax)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
def test_recurrent_functions(mode: str, bidirectional: bool) -> None:
    kind = getattr(nn, mode.split("_")[0])
    options = {"nonlinearity": mode[4:].lower()} if mode.startswith("RNN") else {}
    layer = kind(3, 4, 2, batch_first=True, bidirectional=bidirectional, **options)
    x, state = torch.randn(2, 5, 3), torch.zeros(4 if bidirectional else 2, 2, 4)
    hidden = (state, state) if mode == "LSTM" else state
    run = quant_rnn.RNN(mode, 3, 4, 2, batch_first=True, bidirectional=bidirectional)
    output, final = run(x, layer.all_weights, hidden, None)
    wanted, last = layer(x)
    assert torch.allclose(output, wanted, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(final, last, strict=True))
    if mode == "LSTM" and not bidirectional:
        cell, parts = nn.LSTMCell(3, 4), (state[0], state[0])
        made = quant_rnn.LSTMCell(x[:, 0], parts, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        assert torch.allclose(made[0], cell(x[:, 0], parts)[0], atol=1e-6)

"""The table of a model's quantisers."""
from __future__ import annotations

import code
import io
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor


def model() -> float_nn.Module:
    made = float_nn.Module()
    made.conv = nn.QuantConv2d(1, 2, 3, quant_desc_input=QuantDescriptor(4, unsigned=True, amax=0.5))
    made.pool = nn.QuantMaxPool2d(2, quant_desc_input=QuantDescriptor((4, 3), axis=(0, 1)))
    made.both = made.pool
    made.conv.weight_quantizer.amax = np.float32([[[[0.25]]], [[[2]]]])
    made.conv.weight_quantizer.enable_calib()
    made.pool.input_quantizer.disable()
    made.last = nn.TensorQuantizer(QuantDescriptor(fake_quant=False, learn_amax=True, amax=np.nan))
    return made


def test_rows_as_data_and_in_print(capsys: pytest.CaptureFixture[str]) -> None:
    net = model()
    rows = pq.quant_summary(net)
    assert [tuple(row)[:4] for row in rows] == [
        ("conv._input_quantizer", 4, True, None), ("conv._weight_quantizer", 8, False, 0),
        ("pool._input_quantizer", (4, 3), False, (0, 1)), ("last", 8, False, None)]
    assert [row.state for row in rows] == ["quant", "calib, quant", "disabled", "clip, real quant"]
    assert rows[2].amax is None and rows[0].amax == np.float32(0.5)
    rows[1].amax[...] = 7
    assert net.conv.weight_quantizer.amax.max() == 2
    assert capsys.readouterr().out == """\
quantiser               bits  axis    amax                 state
conv._input_quantizer   u4    tensor  0.5                  quant
conv._weight_quantizer  8     0       0.25 to 2 (2x1x1x1)  calib, quant
pool._input_quantizer   E4M3  (0, 1)  dynamic              disabled
last                    8     tensor  nan                  clip, real quant
"""


def test_how_a_layer_computed() -> None:
    net, out = float_nn.Sequential(nn.QuantLinear(4, 3), nn.QuantLinear(3, 2)), io.StringIO()
    net[1].input_quantizer.num_bits = 16
    net(np.ones((1, 4), np.float32))
    rows = pq.quant_summary(net, out)
    assert [row.execution for row in rows] == ["int8", "", "float: the input has not 2 to 8 bits", ""]
    assert out.getvalue().splitlines()[0].endswith("execution")
    assert out.getvalue().splitlines()[1].endswith("int8")


def test_after_calibration_it_does_not_say_that_the_quantizers_are_off() -> None:
    net, out = nn.QuantLinear(4, 3), io.StringIO()
    with pq.calibrating(net, load_amax=True):
        net(np.ones((1, 4), np.float32))
        assert pq.quant_summary(net, out)[0].execution == "float: the input quantiser is off"
    assert [row.execution for row in pq.quant_summary(net, out)] == ["", ""]
    net.input_quantizer.disable()
    net(np.ones((1, 4), np.float32))
    assert pq.quant_summary(net, out)[0].execution == "float: the input quantiser is off"


def test_what_is_returned_prints_itself_once(capsys: pytest.CaptureFixture[str]) -> None:
    console = code.InteractiveConsole({"pq": pq, "net": model(), "out": io.StringIO()})
    console.push("pq.quant_summary(net)")
    printed = capsys.readouterr().out
    assert printed.count("conv._input_quantizer") == 1 and "QuantizerRow(" not in printed
    console.push("pq.quant_summary(net, out)")
    table = capsys.readouterr().out
    assert table.count("conv._input_quantizer") == 1 and printed.startswith(table)
    rows = pq.quant_summary(model())
    assert capsys.readouterr().out == f"{rows}\n" and list(rows) == rows and len(rows) == 4


def test_another_file_and_the_odd_cases() -> None:
    out = io.StringIO()
    quantizer = nn.TensorQuantizer()
    quantizer.disable_quant()
    quantizer._register("_amax", np.zeros((0, 1), np.float32))
    assert pq.quant_summary(quantizer, out)[0].state == "off"
    assert out.getvalue().splitlines()[1].split() == ["(model)", "8", "tensor", "empty", "off"]
    assert pq.quant_summary(float_nn.ReLU(), out) == []


@pytest.mark.parametrize("function", [pq.quant_summary, pq.replace, pq.freeze, lambda model: pq.calibrating(
    model).__enter__(), lambda model: pq.sensitivity(model, metric=float)])
def test_what_is_no_module_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="Expected `model` to be a module, got int"):
        function(3)


def test_dir_shows_what_is_public() -> None:
    assert [name for name in dir(pq) if not name.startswith("__")] == sorted(
        {*pq.__all__, "calib", "calibration", "cuda_ext", "float_nn", "formats", "graph", "integer",
         "interchange", "isa",
         "layer_sensitivity", "methods", "model", "nn", "optim", "quant_modules", "quant_state", "summary",
         "tensor_quant", "threads", "utils", "version"}
        - {"__version__"})
    assert {"plot", "report"} <= set(dir(pq.calib))

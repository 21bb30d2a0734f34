"""Ctrl-C is answered within 0.2 s of the processor's time, whatever long call it comes in."""
from __future__ import annotations

from pathlib import Path

import pytest

from ..process import run_python

INTERRUPTED = """
import pathlib, signal, sys, tempfile, time
import numpy as np
import pytorch_quantization_c as pq
from pytorch_quantization_c import _C, calib, float_nn, methods, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

rng = np.random.default_rng(0)
folder = pathlib.Path(tempfile.mkdtemp())
{prepare}
late, sent = [], 0.0
def interrupt(*ignored):
    late.append(time.process_time() - sent)
    raise KeyboardInterrupt
signal.signal(signal.SIGPROF, interrupt)    # as SIGINT, but at a time of the process's own
for after in (0.02, 0.07, 0.15, 0.31, 0.5):
    sent = time.process_time() + after
    signal.setitimer(signal.ITIMER_PROF, after)
    try:
        while True:
            {call}
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_PROF, 0)
print(len(late), max(late))
"""
HISTOGRAM = """
counts, centres = rng.integers(0, 9, 3_600_000), np.arange(3_600_000, dtype=np.float32)
"""
CALIBRATOR = """
made = calib.HistogramCalibrator(8, None, False, num_bins=3_600_000, grow_method="append")
made.collect(rng.standard_normal(5_000_000).astype(np.float32))
"""
LARGE = """
x = np.tile(rng.standard_normal(1 << 20, dtype=np.float32), 200)
"""
FILE = """
from pytorch_quantization_c._core.safetensors import load_file, save_file
save_file({str(i): np.ones(1 << 27, np.float32) for i in range(2)}, folder / "large")
"""
MODEL = """
def model():
    four = QuantDescriptor(4, axis=0)
    found = float_nn.Sequential(nn.QuantConv2d(8, 64, 3, quant_desc_weight=four), float_nn.ReLU(),
                                nn.QuantConv2d(64, 64, 3, quant_desc_weight=four))
    for parameter in found.parameters():
        parameter[...] = rng.standard_normal(parameter.shape) / 20
    with pq.calibrating(found, load_amax=True):
        found(data[0])
    return found
data = [rng.standard_normal((4, 8, 20, 20)).astype(np.float32) for _ in range(3)]
ready = model()
"""
CALLS = {
    "collect": (LARGE, "calib.HistogramCalibrator(8, None, False).collect(x)"),
    "collect of float64": (LARGE + "x = x[:1 << 26].astype(float)",
                           "calib.HistogramCalibrator(8, None, False).collect(x)"),
    "collect of channels": (LARGE + "x = x.reshape(-1, 4)", "calib.HistogramCalibrator(8, 1, False).collect(x)"),
    "collect of more": (LARGE + "made = calib.HistogramCalibrator(8, None, False, grow_method='double')",
                        "made.collect(x)"),
    "collect of a maximum": (LARGE, "calib.MaxCalibrator(8, None, False).collect(x)"),
    "a file loaded": (FILE, "load_file(folder / 'large')"),
    "percentile": (HISTOGRAM, "_C.percentile_search(counts, 0.9999)"),
    "entropy": (HISTOGRAM, "_C.entropy_search(counts, 16, False, 1, 128)"),
    "tables of entropy": (HISTOGRAM, "_C.entropy_search(counts[::-1], 4, False, 1, 128)"),
    "mse": (HISTOGRAM, "_C.mse_search(counts, centres, 16, False, 1, 128)"),
    "mse in full": (HISTOGRAM, "_C.mse_search(counts, centres[::-1], 24, False, 1, 128)"),
    "mse that sorts": (HISTOGRAM, "_C.mse_search(counts, np.abs(centres - 2e6), 4, False, 1, 128)"),
    "entropy of a calibrator": (CALIBRATOR, "made.compute_amax('entropy')"),
    "mse of a calibrator": (CALIBRATOR, "made.compute_amax('mse', start_bin=128)"),
    "percentile of a calibrator": (CALIBRATOR, "made.compute_amax('percentile', percentile=99.99)"),
    "gptq": ("w, x = rng.standard_normal((256, 1024)), rng.standard_normal((1200, 1024))", "methods.gptq(w, x)"),
    "adaround": ("w, x = rng.standard_normal((256, 512)), rng.standard_normal((600, 512))",
                 "methods.adaround(w, x, iterations=10_000)"),
    "improve": (MODEL, "pq.improve(ready, data, ['gptq', 'adaround', 'bias_correction'])"),
    "auto_quantize": (MODEL, "pq.auto_quantize(ready, data, 5.0)"),
}
PROGRAM = """
from pytorch_quantization_c import graph
sys.path.insert(0, {root!r})
from tests.graph.program.zoo import mobilenet
made, shape = mobilenet(rng)
x = rng.standard_normal((2, *shape)).astype(np.float32)
"""
LONG = """
from tests.graph.networks import network
body = "r0 = Relu (x)" + "".join(
    f" c{i} = Conv <pads = [1, 1, 1, 1]> (r{i - 1}, w) r{i} = Relu (c{i})" for i in range(1, 81)) + " y = Relu (r80)"
w = (rng.standard_normal((64, 64, 3, 3)) / 20).astype(np.float32)
deep = network(body, "float[N,64,H,W] x", "float[N,64,H,W] y", w=w)
session = graph.compile(graph.quantize(deep, [rng.standard_normal((1, 64, 9, 9)).astype(np.float32)]))
for images in (64, 128, 256, 512):
    large = {"x": np.ones((images, 64, 64, 64), np.float32)}
    begin = time.process_time()
    session.run(None, large)
    if time.process_time() - begin > 0.4:
        break
else:
    raise AssertionError("too short a call to show anything")
"""
GRAPHS = {
    "graph.quantize": ("", "graph.quantize(made, [x], methods=['adaround'])"),
    "a long program": (LONG, "session.run(None, large)"),
}


def longest_wait(prepare: str, call: str) -> float:
    found = run_python("-c", INTERRUPTED.format(prepare=prepare, call=call), PQC_NUM_THREADS="1",
                       OPENBLAS_NUM_THREADS="1")
    assert found.stdout, found.stderr
    number, longest = found.stdout.split()
    assert int(number) == 5
    return float(longest)


def is_answered(prepare: str, call: str) -> bool:
    """Tried again if not, for a busy machine may take its time over a page; a call that does not ask never passes."""
    return any(longest_wait(prepare, call) < 0.2 for _ in range(3))


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_in_a_long_call(name: str) -> None:
    assert is_answered(*CALLS[name])


HALFWAY = """
import signal
import numpy as np
from pytorch_quantization_c import calib

def interrupt(*ignored):
    raise KeyboardInterrupt
signal.signal(signal.SIGPROF, interrupt)
small, large = np.linspace(0, 1, 1000, dtype=np.float32), np.tile(np.linspace(0, 3, 1 << 20, dtype=np.float32), 100)
for options in ({}, {"torch_hist": False}, {"grow_method": "double"}):
    made, other = (calib.HistogramCalibrator(8, None, False, **options) for _ in range(2))
    made.collect(small)
    other.collect(small)
    stopped = 0
    for after in (0.005, 0.02, 0.04, 0.08):
        signal.setitimer(signal.ITIMER_PROF, after)
        try:
            made.collect(large)
            break
        except KeyboardInterrupt:
            stopped += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    else:
        made.collect(large)
    assert stopped > 0, options
    other.collect(large)
    assert (made._calib_hist == other._calib_hist).all(), options
"""


def test_a_collect_that_was_interrupted_has_counted_nothing() -> None:
    found = run_python("-c", HALFWAY, PQC_NUM_THREADS="1")
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", GRAPHS)
def test_ctrl_c_in_a_graph(name: str) -> None:
    pytest.importorskip("onnx_ir")
    prepare, call = GRAPHS[name]
    root = str(Path(__file__).parents[2])
    assert is_answered(PROGRAM.replace("{root!r}", repr(root)) + prepare, call)

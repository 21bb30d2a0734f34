"""Every layer of float_nn and of nn traced: the same bits on other batches, and standard operators."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn as fnn
from pytorch_quantization_c import graph, tensor_quant
from pytorch_quantization_c import nn as qnn
from tests.graph.tracing.test_trace import assert_same_bits, normal, operators

Array = NDArray[Any]
ROW, PLANE, LINE, VOLUME = (1, 6), (1, 4, 12, 12), (1, 4, 12), (1, 2, 4, 5, 6)

FLOAT: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    **{type(made()).__name__: (made, ROW) for made in (
        fnn.ELU, fnn.GELU, fnn.Hardsigmoid, fnn.Hardswish, lambda: fnn.Hardtanh(-0.5, 0.7), fnn.Identity,
        lambda: fnn.LeakyReLU(0.1), lambda: fnn.LogSoftmax(1), fnn.ReLU, fnn.ReLU6, fnn.SiLU, fnn.Sigmoid,
        lambda: fnn.Softmax(-1), lambda: fnn.Softplus(2.0, 5.0), fnn.Tanh, fnn.Dropout)},
    "GELU of tanh": (lambda: fnn.GELU("tanh"), ROW), "Softplus": (fnn.Softplus, ROW),
    "Conv1d": (lambda: fnn.Conv1d(4, 5, 3, padding=1), LINE), "Conv3d": (lambda: fnn.Conv3d(2, 3, 2), VOLUME),
    "Conv2d same": (lambda: fnn.Conv2d(4, 6, 4, padding="same"), PLANE),
    "Conv2d reflect": (lambda: fnn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), PLANE),
    "Conv2d dilated": (lambda: fnn.Conv2d(4, 8, 3, 2, (1, 2), 2, groups=2), PLANE),
    "ConvTranspose2d": (lambda: fnn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), PLANE),
    "MaxPool2d": (lambda: fnn.MaxPool2d(3, 2, 1, ceil_mode=True), PLANE),
    "MaxPool2d dilated": (lambda: fnn.MaxPool2d(2, 1, 0, 2), PLANE),
    "AvgPool2d": (lambda: fnn.AvgPool2d(3, 2, 1, True, False), PLANE), "AvgPool1d": (lambda: fnn.AvgPool1d(2), LINE),
    "AdaptiveAvgPool2d": (lambda: fnn.AdaptiveAvgPool2d((3, 5)), PLANE),
    "AdaptiveAvgPool1d": (lambda: fnn.AdaptiveAvgPool1d(1), LINE),
    "AdaptiveMaxPool2d": (lambda: fnn.AdaptiveMaxPool2d((5, None)), PLANE),
    "BatchNorm1d": (lambda: fnn.BatchNorm1d(4), LINE), "BatchNorm3d": (lambda: fnn.BatchNorm3d(2), VOLUME),
    "BatchNorm2d plain": (lambda: fnn.BatchNorm2d(4, affine=False), PLANE),
    "BatchNorm2d odd eps": (lambda: fnn.BatchNorm2d(4, eps=1.234567890123e-3), PLANE),
    "InstanceNorm2d": (lambda: fnn.InstanceNorm2d(4, affine=True), PLANE),
    "InstanceNorm2d tracked": (lambda: fnn.InstanceNorm2d(4, track_running_stats=True), PLANE),
    "GroupNorm": (lambda: fnn.GroupNorm(2, 4), PLANE), "LayerNorm": (lambda: fnn.LayerNorm((12, 12)), PLANE),
    "LayerNorm plain": (lambda: fnn.LayerNorm(12, elementwise_affine=False), PLANE),
    "ReflectionPad2d": (lambda: fnn.ReflectionPad2d(2), PLANE),
    "ZeroPad2d": (lambda: fnn.ZeroPad2d((1, -2, 0, 1)), PLANE),
    "ReplicationPad2d": (lambda: fnn.ReplicationPad2d((1, 2, 0, 1)), PLANE),
    "CircularPad2d": (lambda: fnn.CircularPad2d(1), PLANE),
    "Upsample nearest": (lambda: fnn.Upsample(scale_factor=1.7), PLANE),
    "Upsample nearest-exact": (lambda: fnn.Upsample((17, 19), mode="nearest-exact"), PLANE),
    "Upsample bilinear": (lambda: fnn.Upsample(scale_factor=1.7, mode="bilinear"), PLANE),
    "Upsample area": (lambda: fnn.Upsample((5, 6), mode="area"), PLANE),
    "UpsamplingBilinear2d": (lambda: fnn.UpsamplingBilinear2d((17, 19)), PLANE),
    "Flatten": (lambda: fnn.Flatten(2), PLANE), "Unflatten": (lambda: fnn.Unflatten(1, (2, 2)), PLANE),
    "Linear": (lambda: fnn.Linear(12, 5), PLANE), "LSTM": (lambda: fnn.LSTM(12, 5, batch_first=True), LINE),
    "GRU": (lambda: fnn.GRU(12, 5, 2, bidirectional=True), LINE),
    "double": (lambda: fnn.Sequential(fnn.Linear(6, 5), fnn.BatchNorm1d(5), fnn.LeakyReLU(0.1)).double(), ROW),
    "half": (lambda: fnn.Sequential(fnn.Linear(6, 5), fnn.BatchNorm1d(5), fnn.LeakyReLU(0.1)).half(), ROW),
}


@pytest.mark.parametrize("name", FLOAT)
def test_a_float_layer(name: str, rng: np.random.Generator) -> None:
    make, shape = FLOAT[name]
    net = make().eval()
    dtype = {"double": np.float64, "half": np.float16}.get(name, np.float32)
    model = graph.trace(net, normal(rng, *shape).astype(dtype))
    for batch in (1, 3):
        x = normal(rng, batch, *shape[1:]).astype(dtype)
        found, wanted = graph.interpret(model, {model.graph.inputs[0].name or "": x}), net(x)
        states = wanted[1] if isinstance(wanted, tuple) and isinstance(wanted[1], tuple) else wanted[1:]
        wanted = [wanted[0], *states] if isinstance(wanted, tuple) else [wanted]
        assert [(y.dtype, y.shape, y.tobytes()) for y in found] == [(y.dtype, y.shape, y.tobytes()) for y in wanted]


def test_layers_that_have_a_standard_operator_are_one_node(rng: np.random.Generator) -> None:
    for name, operator in (("GELU", "Gelu"), ("Conv2d same", "Conv"), ("BatchNorm1d", "BatchNormalization"),
                           ("GroupNorm", "GroupNormalization"), ("LayerNorm", "LayerNormalization"),
                           ("Upsample bilinear", "Resize"), ("MaxPool2d", "MaxPool"), ("Softplus", "Softplus")):
        make, shape = FLOAT[name]
        assert operators(graph.trace(make().eval(), normal(rng, *shape))) == [operator], name


def test_embedding_takes_integers() -> None:
    for settings in ({}, {"max_norm": 0.5}):
        net = fnn.Embedding(10, 4, **settings)
        model = graph.trace(net.eval(), np.array([[1, 2, 3]]))
        assert_same_bits(net, model, np.array([[1, 9, 0], [3, 3, 3]]))


def test_cells_and_unbatched_layers(rng: np.random.Generator) -> None:
    class Cell(fnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.conv = fnn.LSTMCell(6, 3), fnn.Conv1d(1, 2, 3)

        def forward(self, x: Array) -> Array:
            state = None
            for _ in range(3):
                state = self.cell(x, state)
            return self.conv(state[0][:1])

    net = Cell().eval()
    assert_same_bits(net, graph.trace(net, normal(rng, 1, 6)), normal(rng, 4, 6))
    conv = fnn.Conv2d(3, 4, 3).eval()
    model = graph.trace(conv, normal(rng, 3, 8, 8), batch_axis=None)
    assert_same_bits(conv, model, normal(rng, 3, 8, 8), normal(rng, 3, 9, 11))


QUANTISED: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "transposed in groups": (lambda: qnn.QuantConvTranspose2d(4, 6, 3, 2, groups=2), PLANE),
    "same padding": (lambda: qnn.QuantConv2d(4, 6, 4, padding="same"), PLANE),
    "reflected padding": (lambda: qnn.QuantConv2d(4, 6, 3, padding=1, padding_mode="reflect"), PLANE),
    "linear on planes": (lambda: qnn.QuantLinear(12, 5), PLANE),
    "max pool": (lambda: qnn.QuantMaxPool2d(2), PLANE), "mean pool": (lambda: qnn.QuantAvgPool2d(2), PLANE),
    "global pool": (lambda: qnn.QuantAdaptiveAvgPool2d(1), PLANE),
    "instance norm": (lambda: qnn.QuantInstanceNorm2d(4), PLANE),
}


@pytest.mark.parametrize("state", ["calibrated", "dynamic", "frozen", "without float weights"])
@pytest.mark.parametrize("name", QUANTISED)
def test_a_quantised_layer(name: str, state: str, rng: np.random.Generator) -> None:
    make, shape = QUANTISED[name]
    layer = make()
    if state != "dynamic":
        layer.input_quantizer.amax = np.float32(3)
    net = fnn.Sequential(layer).eval()
    weighted = hasattr(layer, "weight_quantizer")
    if weighted and state in ("frozen", "without float weights"):
        pq.freeze(net, keep_float=state == "frozen")
    model = graph.trace(net, normal(rng, *shape))
    assert_same_bits(net, model, normal(rng, *shape), normal(rng, 3, *shape[1:]))
    names = [node.name for node in model.graph if "FakeQuant" in node.op_type]
    assert sorted(map(str, names)) == ["0._input_quantizer"] + ["0._weight_quantizer"] * weighted
    if weighted:
        assert layer.execution == "int8" and "trace.inexact_nodes" not in model.graph.metadata_props


def descriptor(**settings: Any) -> Callable[[], Any]:
    return lambda: qnn.TensorQuantizer(tensor_quant.QuantDescriptor(**settings))


@pytest.mark.parametrize("make", [
    descriptor(), descriptor(num_bits=4, amax=1.5), descriptor(num_bits=16, amax=1.5, narrow_range=True),
    descriptor(num_bits=(4, 3), amax=1.5), descriptor(axis=1, amax=np.arange(1, 7, dtype=np.float32).reshape(1, 6)),
    descriptor(axis=1), descriptor(learn_amax=True, amax=1.5), descriptor(amax=1.5, scale_amax=0.5)])
def test_a_quantiser(make: Any, rng: np.random.Generator) -> None:
    quantizer = make()
    model = graph.trace(quantizer.eval(), normal(rng, 1, 6))
    assert_same_bits(quantizer, model, normal(rng, 4, 6))
    quantizer.pre_quant_scale = np.linspace(0.5, 2, 6, dtype=np.float32)
    assert_same_bits(quantizer, graph.trace(quantizer, normal(rng, 1, 6)), normal(rng, 4, 6))
    quantizer.disable()
    assert operators(graph.trace(quantizer, normal(rng, 1, 6))) == ["Mul"]


def test_a_layer_of_ones_own_is_traced(rng: np.random.Generator) -> None:
    class Scaled(qnn.QuantLinear):
        def forward(self, input: Array) -> Array:
            return super().forward(input) * np.float32(2)

    net = fnn.Sequential(Scaled(6, 5)).eval()
    net[0].input_quantizer.amax = np.float32(3)
    model: ir.Model = graph.trace(net, normal(rng, 1, 6))
    assert operators(model) == ["FakeQuant", "FakeQuant", "Gemm", "Mul"]
    assert_same_bits(net, model, normal(rng, 4, 6))


@pytest.mark.parametrize("settings", [
    {"scale_factor": 1.7, "mode": "bilinear", "align_corners": True}, {"scale_factor": 2, "mode": "nearest-exact"},
    {"scale_factor": 0.7, "mode": "nearest"}, {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
    {"scale_factor": (1.05, 2), "mode": "bilinear"}, {"size": (7, 31), "mode": "nearest"},
    {"scale_factor": 1.3, "mode": "bilinear", "recompute_scale_factor": True}])
def test_resizing_gives_the_bits_of_the_function(settings: dict[str, Any], rng: np.random.Generator) -> None:
    net = fnn.Upsample(**settings).eval()
    assert_same_bits(net, graph.trace(net, normal(rng, *PLANE)), normal(rng, 3, 4, 12, 12))


def test_a_layer_of_ones_own_on_quantised_arrays_computes_in_floats(rng: np.random.Generator) -> None:
    class Own(qnn.modules._utils.QuantMixin, fnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = fnn.Parameter(normal(rng, 5, 6))
            self.init_quantizer(tensor_quant.QuantDescriptor(amax=3.0), tensor_quant.QuantDescriptor(axis=0))

        def forward(self, x: Array) -> Array:
            return fnn.functional.linear(self.input_quantizer(x), self.weight_quantizer(self.weight))

    net = Own().eval()
    assert_same_bits(net, graph.trace(net, normal(rng, 1, 6)), normal(rng, 1, 6), normal(rng, 7, 6))

"""Where quantisers go, what they are, and that the network they are in still computes what it did."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import Quantizer, quantizers
from pytorch_quantization_c.tensor_quant import (
    QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT,
    QUANT_DESC_MXFP8,
    QUANT_DESC_NVFP4_WEIGHT,
    QuantDescriptor,
)
from tests.graph.networks import convolutional, images, network, normal, operators, sqnr


def found(model: ir.Model) -> dict[str, Quantizer]:
    return {each.name: each for each in quantizers(model)}


def test_a_quantized_network_agrees_with_the_float_one_and_leaves_it_alone(rng: np.random.Generator) -> None:
    model = convolutional(rng)
    before = ir.to_proto(model).SerializeToString()
    int8 = graph.quantize(model, [images(rng, 8) for _ in range(2)])
    assert ir.to_proto(model).SerializeToString() == before
    x = images(rng, 8)
    (expected,), (got,) = graph.interpret(model, {"x": x}), graph.interpret(int8, {"x": x})
    assert 25 < sqnr(expected, got) < 60
    assert [value.name for value in int8.graph.outputs] == ["y"] and int8.graph.inputs[0].name == "x"


def test_only_inputs_of_layers_and_residuals_are_quantized(rng: np.random.Generator) -> None:
    int8 = graph.quantize(convolutional(rng), [images(rng, 4)])
    assert sorted(found(int8)) == ["add6.residual", "conv0.input", "conv0.weight", "conv3.input", "conv3.weight",
                                   "conv5.input", "conv5.weight", "gemm10.input", "gemm10.weight"]
    assert {name: each.spec.bits for name, each in found(int8).items() if each.spec.bits != 8} == {"add6.residual": 16}
    assert int8.opset_imports[""] >= 21


def test_ranges_are_unsigned_symmetric_or_have_a_zero_point(rng: np.random.Generator) -> None:
    body = """a = Relu (x) b = Conv (a, w) c = HardSwish (b) d = Conv (c, w)
              e = Sin (x) f = Conv (e, w) y = Mul (d, f)"""
    model = network(body, "float[N,4,9,9] x", w=normal(rng, 4, 4, 1, 1))
    int8 = found(graph.quantize(model, [normal(rng, 2, 4, 9, 9)]))
    relu, swish, plain = (int8[f"conv{number}.input"].spec for number in (1, 3, 5))
    assert relu.unsigned and relu.zero_point == 0
    assert swish.unsigned and isinstance(swish.zero_point, int) and 0 < swish.zero_point < 128
    assert not plain.unsigned and not plain.zero_point
    symmetric = found(graph.quantize(model, [normal(rng, 2, 4, 9, 9)], zero_point=False))
    assert not any(each.spec.unsigned or each.spec.zero_point for each in symmetric.values())


def test_weights_have_a_range_for_each_output_channel(rng: np.random.Generator) -> None:
    w, t, g = normal(rng, 6, 4, 3, 3), normal(rng, 6, 5, 2, 2), normal(rng, 5, 7)
    model = network("a = Conv (x, w) b = ConvTranspose (a, t) c = GlobalAveragePool (b) d = Flatten (c) "
                    "y = MatMul (d, g)", w=w, t=t, g=g)
    int8 = found(graph.quantize(model, [normal(rng, 2, 4, 9, 9)]))
    for name, expected in (("conv0", np.abs(w).max((1, 2, 3))), ("convtranspose1", np.abs(t).max((0, 2, 3))),
                           ("matmul4", np.abs(g).max(0))):
        np.testing.assert_array_equal(int8[f"{name}.weight"].amax, expected)
    whole = found(graph.quantize(model, [normal(rng, 2, 4, 9, 9)], weight=QuantDescriptor(8)))
    np.testing.assert_array_equal(whole["conv0.weight"].amax, np.abs(w).max())


@pytest.mark.parametrize("moved", ["m = MaxPool <kernel_shape = [2, 2]> (r)", "m = Transpose <perm = [0, 1, 3, 2]> (r)",
                                   "m = Identity (r)", "m = Reshape (r, shape)"])
def test_a_quantizer_moves_up_through_what_moves_data(rng: np.random.Generator, moved: str) -> None:
    body = f"r = Relu (x) {moved} a = Conv (m, w) b = Conv (m, v) y = Concat <axis = 1> (a, b)"
    model = network(body, "float[2,4,8,8] x", w=normal(rng, 3, 4, 1, 1), v=normal(rng, 5, 4, 1, 1),
                    shape=np.array([2, 4, 4, 16]))
    int8 = graph.quantize(model, [normal(rng, 2, 4, 8, 8)])
    inputs = [each for each in quantizers(int8) if each.name.endswith(".input")]
    assert len(inputs) == 1 and inputs[0].input.name == "r"


def test_a_quantizer_stays_where_somebody_reads_floats(rng: np.random.Generator) -> None:
    body = "r = Relu (x) m = MaxPool <kernel_shape = [2, 2]> (r) a = Conv (m, w) b = Sigmoid (m) y = Mul (a, b)"
    int8 = graph.quantize(network(body, "float[2,4,8,8] x", w=normal(rng, 4, 4, 1, 1)), [normal(rng, 2, 4, 8, 8)])
    assert found(int8)["conv2.input"].input.name == "m"


def test_inputs_of_a_concat_share_one_range(rng: np.random.Generator) -> None:
    body = "a = Relu (x) b = Sigmoid (x) c = Concat <axis = 1> (a, b) y = Conv (c, w)"
    int8 = graph.quantize(network(body, w=normal(rng, 3, 8, 1, 1)), [normal(rng, 2, 4, 9, 9)])
    inputs = [each for each in quantizers(int8) if ".input" in each.name]
    assert sorted(str(each.input.name) for each in inputs) == ["a", "b"]
    assert inputs[0].spec == inputs[1].spec and inputs[0].amax == inputs[1].amax


@pytest.mark.parametrize("residual, bits", [("auto", {16}), ("u8", {8}), ("float", {8})])
def test_residuals(rng: np.random.Generator, residual: str, bits: set[int]) -> None:
    int8 = graph.quantize(convolutional(rng), [images(rng, 4)], residual=residual)
    add = next(node for node in int8.graph if node.op_type == "Add")
    sources = [value.producer() for value in add.inputs if value is not None]
    quantised = [node for node in sources if node is not None and node.domain]
    assert len(quantised) == {"auto": 1, "u8": 2, "float": 0}[residual]
    assert {found(int8)[str(node.name)].spec.bits for node in quantised} <= bits


def test_residuals_of_16_bits_have_the_finest_step_that_is_a_power_of_two(rng: np.random.Generator) -> None:
    given, model = images(rng, 4), convolutional(rng)
    int8 = graph.quantize(model, [given], method="max", methods=())
    quantizer = found(int8)["add6.residual"]
    scale = np.float32(quantizer.spec.bound) / np.float32(quantizer.amax)
    assert np.frexp(scale)[0] == 0.5
    value = quantizer.input.name
    model.graph.outputs.append(next(each for node in model.graph for each in node.outputs if each.name == value))
    largest = np.abs(graph.interpret(model, {model.graph.inputs[0].name: given})[-1]).max()
    assert quantizer.amax / 2 < largest <= quantizer.amax


def test_excluded_layers_stay_float_and_overrides_count(rng: np.random.Generator) -> None:
    model, data = convolutional(rng), [images(rng, 4)]
    without = found(graph.quantize(model, data, exclude="Gemm"))
    assert not any(name.startswith("gemm") for name in without)
    assert not any(name.startswith("conv0") for name in found(graph.quantize(model, data, exclude=["re:conv[05]"])))
    narrow = found(graph.quantize(model, data, overrides={"conv3": QuantDescriptor(4), "gemm10": None}))
    assert narrow["conv3.weight"].spec.bits == narrow["conv3.input"].spec.bits == 4
    assert narrow["conv3.weight"].spec.axis == 0 and "gemm10.weight" not in narrow
    apart = found(graph.quantize(model, data, overrides={"Conv": {"weight": QuantDescriptor(4, axis=0)}}))
    assert apart["conv3.weight"].spec.bits == 4 and apart["conv3.input"].spec.bits == 8
    with pytest.raises(ValueError, match="matches none of"):
        graph.quantize(model, data, exclude="nothing*")


def test_without_data_ranges_are_dynamic(rng: np.random.Generator) -> None:
    model = convolutional(rng)
    int8 = graph.quantize(model, None)
    activations = [each for each in quantizers(int8) if not each.is_weight]
    assert activations and all(each.is_dynamic for each in activations)
    x = images(rng, 4)
    assert sqnr(graph.interpret(model, {"x": x})[0], graph.interpret(int8, {"x": x})[0]) > 25


@pytest.mark.parametrize("target", ["here", "onnxruntime", "openvino", "tensorrt"])
def test_targets(rng: np.random.Generator, target: str) -> None:
    int8 = graph.quantize(convolutional(rng), [images(rng, 4)], target=target)
    points = [each.spec.zero_point or each.spec.unsigned for each in quantizers(int8)]
    assert any(points) == (target != "tensorrt")
    assert (16 in {each.spec.bits for each in quantizers(int8)}) == (target == "here")
    pool = next(node for node in int8.graph if node.op_type == "GlobalAveragePool")
    source = pool.inputs[0].producer() if pool.inputs[0] is not None else None
    assert source is not None and bool(source.domain) == (target in ("onnxruntime", "openvino"))


def test_recurrent_layers_have_quantized_weights(rng: np.random.Generator) -> None:
    model = network("y, h, c = LSTM <hidden_size = 6> (x, w, r, b)", "float[5,2,4] x", "float y",
                    w=normal(rng, 1, 24, 4) / 3, r=normal(rng, 1, 24, 6) / 3, b=normal(rng, 1, 48))
    int8 = graph.quantize(model, [normal(rng, 5, 2, 4)])
    assert sorted(found(int8)) == ["lstm0.input", "lstm0.recurrent_weight", "lstm0.weight"]
    x = normal(rng, 5, 2, 4)
    assert sqnr(graph.interpret(model, {"x": x})[0], graph.interpret(int8, {"x": x})[0]) > 25


@pytest.mark.parametrize("arguments, message", [
    ({"method": "best"}, "Expected `method` to be one of auto, max, mse, entropy, percentile"),
    ({"percentile": 0}, "Expected `percentile`"), ({"zero_point": True}, "Expected `zero_point`"),
    ({"residual": "u4"}, "Expected `residual`"), ({"target": "tpu"}, "Expected `target` to be one of here"),
    ({"methods": ("magic",)}, "Expected `methods`"), ({"methods": "bias_correction"}, "Expected `methods`"),
    ({"exclude": ["*"]}, "Expected `model` to have layers to quantise"),
    ({"input": QuantDescriptor(8, axis=0)}, "Expected `input` with axis None"),
    ({"input": QuantDescriptor(8, amax=1.0)}, "Expected `input` without a fixed amax"),
    ({"weight": QuantDescriptor(8, axis=2)}, "Expected `weight` with axis None, or 0"),
    ({"input": QuantDescriptor(8, scale_amax=0.5)}, "Expected `input` without `scale_amax`"),
    ({"input": QuantDescriptor(8, learn_amax=True, amax=1.0)}, "Expected `input` without `learn_amax`"),
    ({"input": QuantDescriptor(8, zero_point=True)}, "Expected `input` without `zero_point`"),
    ({"input": QuantDescriptor(calib_method="histogram")}, "Expected `input` with `calib_method` 'max'.*`method`"),
    ({"input": QuantDescriptor(4, block_sizes={-1: 32})}, "Expected `input` without `block_sizes`"),
    ({"input": QuantDescriptor(17)}, "Expected `input` with `num_bits` from 2 to 16"),
    ({"weight": QuantDescriptor(8, axis=0, scale_amax=0.5)}, "Expected `weight` without `scale_amax`"),
    ({"weight": QuantDescriptor(8, zero_point=True)}, "Expected `weight` without `zero_point`"),
    ({"weight": QuantDescriptor(8, fake_quant=False)}, "Expected `weight` with `fake_quant` True"),
    ({"weight": QUANT_DESC_MXFP8}, "Expected `weight` with `block_sizes` of integers"),
    ({"weight": QUANT_DESC_NVFP4_WEIGHT}, "Expected `weight` with `block_sizes` of integers"),
    ({"weight": QuantDescriptor(4, block_sizes={-1: 8}, amax=[1.0])}, "Expected `weight` without a fixed `amax`"),
    ({"weight": QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT}, "Expected `weight` without `block_sizes` for Conv 'conv0'"),
    ({"overrides": {"Gemm": QuantDescriptor(8, axis=0)}}, r"Expected `overrides\['Gemm'\]` with axis None"),
    ({"overrides": {"Gemm": {"weight": QUANT_DESC_MXFP8}}}, r"Expected `overrides\['Gemm'\]\['weight'\]` with `block"),
    ({"resume": 3}, "Expected `resume` with `max_drop`")])
def test_bad_arguments(rng: np.random.Generator, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph.quantize(convolutional(rng), [images(rng, 2)], **arguments)


@pytest.mark.parametrize("body, turned", [("y = MatMul (x, w)", True), ("y = Gemm <transB = 1> (x, w)", False)])
def test_weights_of_matrices_have_groups(rng: np.random.Generator, body: str, turned: bool) -> None:
    rows, x = normal(rng, 5, 72), normal(rng, 6, 72)
    model = network(body, "float[N,72] x", "float[N,5] y", w=rows.T.copy() if turned else rows)
    int4 = graph.quantize(model, [x], weight=QuantDescriptor(4, block_sizes={-1: 32}), methods=())
    amax = np.stack([np.abs(rows[:, at:at + 32]).max(1) for at in (0, 32, 64)], 1)
    weight, = (each for each in quantizers(int4) if each.is_weight)
    assert (weight.spec.bits, weight.spec.block) == (4, 32) and weight.amax is not None
    np.testing.assert_array_equal(weight.amax, amax.T if turned else amax)
    steps = np.repeat(amax / np.float32(7), 32, 1)[:, :72]
    exact = x.astype(np.float64) @ (np.clip(np.rint(rows / steps), -8, 7) * steps).T
    assert sqnr(exact, graph.interpret(int4, {"x": x})[0]) > 35
    np.testing.assert_array_equal(graph.compile(int4).run(None, {"x": x})[0], graph.interpret(int4, {"x": x})[0])
    wide = found(graph.quantize(model, [x], weight=QuantDescriptor(4, block_sizes={-1: 32}), methods=["awq"],
                                overrides={"*": QuantDescriptor(8)}))
    assert [(each.spec.bits, each.spec.axis) for each in wide.values() if each.is_weight] == [(8, int(turned))]


@pytest.mark.parametrize("call", [
    lambda model: graph.quantize(model, []),
    lambda model: graph.quantize(model, [], max_drop=1.0, metric=lambda made: 1.0),
    lambda model: graph.auto_quantize(model, [], 4.8),
    lambda model: graph.save_calibration_cache(model, "cache"),
    lambda model: graph.calibrate(model, [])])
def test_what_is_no_model_is_named(call: Any) -> None:
    with pytest.raises(TypeError, match="Expected `model` to be an onnx_ir.Model, .* got str"):
        call("x.onnx")


def test_weights_of_nan_are_refused_by_name(rng: np.random.Generator) -> None:
    model = network("y = Conv (x, w)", w=np.full((2, 4, 1, 1), np.nan))
    with pytest.raises(ValueError, match="'w' of node 'conv0'"):
        graph.quantize(model, [normal(rng, 2, 4, 9, 9)])


def test_the_operators_stay_the_same(rng: np.random.Generator) -> None:
    assert operators(graph.quantize(convolutional(rng), [images(rng, 2)])) == \
        ["Conv", "Relu", "Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]


@pytest.mark.parametrize("outliers", [True, False])
def test_the_default_is_the_better_of_max_and_mse(rng: np.random.Generator, outliers: bool) -> None:
    """The outputs are all that is in the long tail, or all but that."""
    model = network("a = Relu (x) b = Conv (a, w) y = Clip (b, low, high)", "float[N,4,9,9] x",
                    w=np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), low=5.0 if outliers else -2.0,
                    high=60.0 if outliers else 2.0)
    data = normal(rng, 16, 4, 9, 9)
    data[:, :, 0, 0] = 50 * rng.random((16, 4))
    ends = {method: found(graph.quantize(model, [data], method=method))["conv1.input"].amax
            for method in ("max", "mse")}
    assert ends["mse"] is not None and ends["max"] is not None and ends["mse"] <= ends["max"]
    noise = {}
    for method in ("auto", "max", "mse"):
        int8 = graph.quantize(model, [data], method=method)
        noise[method] = sqnr(graph.interpret(model, {"x": data})[0], graph.interpret(int8, {"x": data})[0])
    assert noise["auto"] == max(noise["max"], noise["mse"])


PARTS = {
    "split": "p, q = Split <axis = 1, num_outputs = 2> (r)",
    "an output that nobody reads": "p, unread, q = Split <axis = 1> (r, three)",
    "slices": "p = Slice (r, zero, two, one)  q = Slice (r, two, four, one)",
    "gathers": "p = Gather <axis = 1> (r, first)  q = Gather <axis = 1> (r, last)",
    "behind others": "t = Transpose <perm = [0, 1, 3, 2]> (r)  p, q = Split <axis = 1, num_outputs = 2> (t)",
}
CONSTANTS = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "four": np.array([4]),
             "three": np.array([1, 2, 1]), "first": np.array([0, 1]), "last": np.array([3, 1])}


@pytest.mark.parametrize("name", PARTS)
def test_a_quantizer_moves_up_through_parts_that_layers_alone_read(rng: np.random.Generator, name: str) -> None:
    channels = 1 if "nobody" in name else 2
    body = f"r = HardSwish (x) {PARTS[name]} a = Conv (p, w) b = Conv (q, v) y = Concat <axis = 1> (a, b)"
    w = {"w": normal(rng, 3, channels, 1, 1), "v": normal(rng, 3, channels, 1, 1)}
    model = network(body, "float[N,4,5,6] x", "float[N,6,H,W] y", **w, **CONSTANTS)
    int8 = graph.quantize(model, [normal(rng, 4, 4, 5, 6)], methods=())
    assert [each.input.name for each in found(int8).values() if not each.is_weight] == ["r"]
    x = normal(rng, 2, 4, 5, 6)
    (expected,), (got,) = graph.interpret(model, {"x": x}), graph.interpret(int8, {"x": x})
    assert 25 < sqnr(expected, got) < 60
    layers = [step.compute for step in graph.Interpreter(int8).plan.steps if step.node.op_type == "Conv"]
    assert all(type(layer).__name__ == "IntegerLayer" for layer in layers) and len(layers) == 2
    assert graph.compile(int8).run(None, {"x": x})[0].tobytes() == got.tobytes()


@pytest.mark.parametrize("rest", ["c = Sigmoid (q)", "c = Sigmoid (r)", "c = Conv (q, u)"])
def test_a_quantizer_stays_behind_parts_where_others_read_the_rest(rng: np.random.Generator, rest: str) -> None:
    body = f"r = Relu (x) p, q = Split <axis = 1, num_outputs = 2> (r) y = Conv (p, w) {rest} z = Neg (q)"
    model = network(f"{body} k = ReduceMax <keepdims = 0> (c)", "float[N,4,5,6] x",
                    "float[N,3,5,6] y, float[N,2,5,6] z, float k", w=normal(rng, 3, 2, 1, 1), u=normal(rng, 3, 2, 1, 1))
    int8 = graph.quantize(model, [normal(rng, 4, 4, 5, 6)], methods=())
    assert "r" not in [each.input.name for each in found(int8).values()]
    assert "p" in [each.input.name for each in found(int8).values()]


def test_one_slice_keeps_the_range_of_its_part(rng: np.random.Generator) -> None:
    """The first token of a sequence: the others may be much larger, and nobody shares."""
    body = "r = Relu (x) p = Gather <axis = 1> (r, at) y = Gemm (p, w)"
    model = network(body, "float[N,7,6] x", "float[N,3] y", at=np.array(0), w=normal(rng, 6, 3))
    int8 = graph.quantize(model, [normal(rng, 4, 7, 6)], methods=())
    assert [each.input.name for each in found(int8).values() if not each.is_weight] == ["p"]

"""Operands of 16 bits as sums of two of 8: by integers of NumPy, and by a program on every instruction set."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.analysis.layer_noise import layer_name
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.graph.quantizing import whole
from pytorch_quantization_c.graph.search.budgets import layers_in
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images, network, normal, operators, sqnr
from tests.graph.program.same_bits import assert_same_bits

WIDE: Any = {"input": QuantDescriptor(16), "method": "max", "methods": ()}
WEIGHT: Any = {"weight": QuantDescriptor(16, axis=0), "method": "max", "methods": ()}
BOTH: Any = WIDE | WEIGHT


def kinds(session: Any) -> set[str]:
    return {row.kernel for row in session.summary()}


def codes(x: Any, amax: Any, least: int = -128) -> tuple[Any, Any]:
    """Integers of 8 bits, and what they stand for."""
    scale = np.float32(127) / np.float32(amax)
    found = np.clip(np.rint(x * scale), least, 127)
    return found.astype(np.int64), (found / scale).astype(np.float32)


@pytest.mark.parametrize("axis", [0, None])
@pytest.mark.parametrize("bits", [(16, 8), (8, 16), (16, 16)])
def test_products_of_integers(rng: np.random.Generator, bits: tuple[int, int], axis: int | None) -> None:
    """By NumPy's int64: a sum is rounded to float32, then once more when the bias is added, then all are added."""
    w, b, x = normal(rng, 5, 70), normal(rng, 5), 3 * normal(rng, 40, 70)
    model, most_x = network("y = Gemm <transB = 1> (x, w, b)", "float[N,70] x", w=w, b=b), np.abs(x).max()
    made = graph.quantize(model, [x], method="max", methods=(), zero_point=False, input=QuantDescriptor(bits[0]),
                          weight=QuantDescriptor(bits[1], axis=axis))
    x = 1.2 * normal(rng, 30, 70)
    x[0, :3] = 100, -100, 0
    amax = {each.name: each.amax for each in quantizers(made)}
    most_w = np.abs(w).max() if axis is None else np.abs(w).max(axis=1)
    top = most_x * np.float32(2 if bits[0] == 16 else 1)        # twice what was seen
    high, standing_for = codes(x, top)
    low, _ = codes(x - standing_for, top / np.float32(254), -128)
    column = np.broadcast_to(most_w, 5)[:, None]
    coarse, for_weight = codes(w, column, -127)
    fine, _ = codes(w - for_weight, column / np.float32(254), -127)
    assert np.abs(low).max() == 128 and np.abs(high).max() == 128       # clipped at either end

    def product(integers: Any, most: Any, weight: Any, most_weight: Any, bias: Any) -> Any:
        scales = [np.float64(np.float32(127) / np.float32(each)) for each in (most, most_weight)]
        by = (1 / (scales[0] * scales[1])).astype(np.float32)
        sums = (integers @ weight.T).astype(np.float32)
        return (sums.astype(np.longdouble) * by.astype(np.longdouble) + bias).astype(np.float32)

    wanted = product(high, top, coarse, most_w, b)
    by_input = product(low, top / np.float32(254), coarse, most_w, 0)
    by_weight = product(high, top, fine, most_w / np.float32(254), 0)
    wanted += {(16, 8): by_input, (8, 16): by_weight, (16, 16): by_weight + by_input}[bits]
    np.testing.assert_array_equal(graph.interpret(made, {"x": x})[0], wanted)
    inside = x[1:]      # against all of it in float64: three products leave only what 15 bits do
    exact = inside.astype(np.float64) @ w.T.astype(np.float64) + b
    assert sqnr(exact, graph.interpret(made, {"x": inside})[0]) > (66 if bits == (16, 16) else 30)
    names = {"gemm0.input.2", "gemm0.input.3"} if bits[0] == 16 else {"gemm0.input"}
    assert set(amax) == names | ({"gemm0.weight.2", "gemm0.weight.3"} if bits[1] == 16 else {"gemm0.weight"})


@pytest.mark.parametrize("body, shape, constants", [
    ("y = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w, b)", "N,6,9,9", {"w": (8, 6, 3, 3), "b": (8,)}),
    ("y = Conv <pads = [1, 1, 1, 1], group = 6> (x, w)", "N,6,9,9", {"w": (6, 1, 3, 3)}),
    ("y = ConvTranspose <strides = [2, 2]> (x, w, b)", "N,6,5,5", {"w": (6, 4, 2, 2), "b": (4,)}),
    ("t = MatMul (x, w) y = Add (t, b)", "N,7,6", {"w": (6, 9), "b": (9,)}),
    ("t = MatMul (x, w) y = Add (t, b)", "N,6", {"w": (6, 9), "b": (3, 1, 9)}),
    ("t = Transpose <perm = [0, 2, 1]> (x) y = MatMul (t, w)", "N,6,7", {"w": (6, 9)}),
    ("a = MatMul (x, w) c = MatMul (x, v) y = Mul (a, c)", "N,7,6", {"w": (6, 9), "v": (6, 9)})])
def test_layers_have_the_noise_of_their_weights_alone(rng: np.random.Generator, body: str, shape: str,
                                                      constants: dict[str, tuple[int, ...]]) -> None:
    """Nothing but the weights' rounding is left, and programs run all of it on integers, with the same bits."""
    weights = {name: normal(rng, *size) for name, size in constants.items()}
    for name in {"w", "v"} & set(weights):      # with the codes of 8 bits, and 127 in each channel
        integers = np.rint(20 * weights[name]).clip(-126, 126)
        integers.reshape(len(integers), -1)[:, 0] = 127
        integers[0] = 127
        weights[name] = (integers / 127).astype(np.float32)
    sizes = [4 if each == "N" else int(each) for each in shape.split(",")]
    model, x = network(body, f"float[{shape}] x", **weights), normal(rng, *sizes)
    plain = graph.quantize(model, [x], method="max", methods=())
    made = graph.quantize(model, [x], **WIDE)
    wanted, = graph.interpret(model, {"x": x})
    before, after = (sqnr(wanted, graph.interpret(each, {"x": x})[0]) for each in (plain, made))
    assert after > before + 35 and after > 80
    session = graph.compile(made)
    assert_same_bits(session, made, {"x": x}, (1, 2))
    assert kinds(session) & {"convolution", "depthwise", "linear"} and not kinds(session) & {"Python", "float", "gemm"}
    assert {layer_name(each) for each in quantizers(made)} == {
        str(node.name) for node in model.graph if node.op_type in ("Conv", "ConvTranspose", "MatMul")}
    assert {(name, layer.input_bits) for name, layer in layers_in(made).items()} == {
        (name, 16) for name in layers_in(plain)}


LAYERS = pytest.mark.parametrize("body, shape, constants", [
    ("y = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w, b)", "N,6,9,9", {"w": (8, 6, 3, 3), "b": (8,)}),
    ("y = Conv <pads = [1, 1, 1, 1], group = 6> (x, w)", "N,6,9,9", {"w": (6, 1, 3, 3)}),
    ("y = ConvTranspose <strides = [2, 2]> (x, w, b)", "N,6,5,5", {"w": (6, 4, 2, 2), "b": (4,)}),
    ("y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b)", "N,6", {"w": (6, 9), "b": (9,)}),
    ("t = MatMul (x, w) y = Add (t, b)", "N,7,6", {"w": (6, 9), "b": (9,)}),
    ("t = MatMul (x, w) y = Add (t, b)", "N,6", {"w": (6, 9), "b": (3, 1, 9)}),
    ("t = Transpose <perm = [0, 2, 1]> (x) y = MatMul (t, w)", "N,6,7", {"w": (6, 9)}),
    ("r = Relu (x) a = MatMul (r, w) c = MatMul (x, w) y = Mul (a, c)", "N,7,6", {"w": (6, 9)})])


@LAYERS
@pytest.mark.parametrize("axis", [0, None])
def test_both_operands_of_every_layer(rng: np.random.Generator, body: str, shape: str, axis: int | None,
                                      constants: dict[str, tuple[int, ...]]) -> None:
    """Next to nothing is lost, by three products each, all on integers, with the bits of the interpreter."""
    sizes = [4 if each == "N" else int(each) for each in shape.split(",")]
    weights = {name: normal(rng, *size) for name, size in constants.items()}
    model, x = network(body, f"float[{shape}] x", **weights), normal(rng, *sizes)
    wanted, = graph.interpret(model, {"x": x})
    options = BOTH | {"weight": QuantDescriptor(16, axis=axis)}
    made = graph.quantize(model, [x], **options)
    assert sqnr(wanted, graph.interpret(made, {"x": x})[0]) > 70
    halved = graph.quantize(model, [x], **options | {"input": QuantDescriptor(8)})
    for each, count in ((made, 3), (halved, 2)):
        session = graph.compile(each)
        assert_same_bits(session, each, {"x": x}, (1, 2))
        assert kinds(session) & {"convolution", "depthwise", "linear"}
        assert not kinds(session) & {"Python", "float", "gemm"}
        layers = [node for node in model.graph if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")]
        assert sum(operators(each).count(kind) for kind in ("Conv", "ConvTranspose", "Gemm", "MatMul")) == \
            count * len(layers)
        assert {(layer.weight_bits, layer.input_bits) for layer in layers_in(each).values()} == {
            (16, 16 if count == 3 else 8)}


def test_zero_points_methods_and_ranges_of_every_call(rng: np.random.Generator) -> None:
    """A weight of two halves beside an input of 8 bits with a zero point, one with a range of its own, biases."""
    model = network("t = Mul (x, x) y = Conv (t, w, b)", w=normal(rng, 5, 4, 3, 3), b=normal(rng, 5))
    x = 2 + normal(rng, 6, 4, 9, 9)
    for data, more in (([x], {}), ([x], {"methods": ("weight_mse", "gptq", "bias_correction")}), (None, {})):
        made = graph.quantize(model, data, weight=QuantDescriptor(16, axis=0), **more)
        eight = graph.quantize(model, data, **more)
        wanted, = graph.interpret(model, {"x": x})
        session = graph.compile(made)
        assert_same_bits(session, made, {"x": x}, (1, 2))
        assert "float" not in kinds(session) and operators(made).count("Conv") == 2
        assert sqnr(wanted, graph.interpret(made, {"x": x})[0]) > sqnr(wanted, graph.interpret(eight, {"x": x})[0])


def test_weights_of_zeros_and_the_largest(rng: np.random.Generator) -> None:
    """Channels of zeros stay zeros; ranges near the end of float32 are not doubled into infinity."""
    w = normal(rng, 4, 6)
    w[1] = 0
    w[2] *= np.float32(1e-30)
    x = np.float32(1e38) * np.clip(normal(rng, 8, 6), -3, 3)
    made = graph.quantize(network("y = Gemm <transB = 1> (x, w)", "float[N,6] x", w=1e-3 * w), [x], **BOTH)
    got, = graph.interpret(made, {"x": x})
    assert np.isfinite(got).all() and not got[:, 1].any()
    exact = x.astype(np.float64) @ np.float64(np.float32(1e-3) * w).T
    assert sqnr(exact[:, [0, 3]] / 1e36, got[:, [0, 3]] / 1e36) > 70


@pytest.mark.parametrize("moves", ["t = Identity (x)", "t = Transpose <perm = [0, 2, 1]> (x)"])
def test_layers_of_one_value_share_its_halves(rng: np.random.Generator, moves: str) -> None:
    model = network(f"{moves} a = MatMul (t, w) b = MatMul (t, v) y = Mul (a, b)", "float[N,6,6] x",
                    w=normal(rng, 6, 9), v=normal(rng, 6, 9))
    made = graph.quantize(model, [normal(rng, 8, 6, 6)], **WIDE)
    assert operators(made).count("Sub") == 1 and operators(made).count("MatMul") == 4
    assert len([each for each in quantizers(made) if not each.is_weight]) == 2


def test_other_operands_stay_whole(rng: np.random.Generator) -> None:
    """For other runtimes; with ranges found at every call, beside small floats and unsigned, by a warning."""
    model, data = network("y = Conv (x, w)", w=np.abs(normal(rng, 3, 4, 1, 1))), [normal(rng, 2, 4, 9, 9)]
    wide = QuantDescriptor(16)
    for target in ("openvino", "onnxruntime", "tensorrt"):
        made = graph.quantize(model, data, input=wide, weight=QuantDescriptor(16, axis=0), target=target)
        assert [each.spec.bits for each in quantizers(made)] == [16, 16] and operators(made) == ["Conv"]
    cases: list[tuple[Any, Any, Any, str]] = [
        (None, wide, QuantDescriptor(8, axis=0), "the input's range is found at every call"),
        (data, QuantDescriptor((4, 3)), QuantDescriptor(16, axis=0), "the other operand has small floats"),
        (data, wide, QuantDescriptor((4, 3), axis=0), "the other operand has small floats"),
        (data, wide, QuantDescriptor(16, unsigned=True, axis=0), "the weight is in groups or unsigned")]
    for batches, input, weight, why in cases:
        with pytest.warns(UserWarning, match=f"run in float, as {why}: 'conv0'"):
            made = graph.quantize(model, batches, input=input, weight=weight, methods=())
        assert {each.spec.bits for each in quantizers(made)} == {input.num_bits, weight.num_bits}
        assert operators(made) == ["Conv"]


def test_a_layer_that_stays_whole_beside_one_that_does_not(rng: np.random.Generator) -> None:
    """Both have the same weight; an override gives one of them an input of 16 bits, another a weight in groups."""
    model = network("a = MatMul (x, w) b = Relu (a) c = MatMul (b, w) y = MatMul (c, v)", "float[N,7,8] x",
                    w=normal(rng, 8, 8), v=normal(rng, 8, 8))
    data = [normal(rng, 8, 7, 8)]
    with pytest.warns(UserWarning, match="the weight is in groups or unsigned: 'matmul3'"):
        made = graph.quantize(model, data, weight=QuantDescriptor(16, axis=0), methods=(), overrides={
            "matmul0": QuantDescriptor(16), "matmul3": {"weight": QuantDescriptor(16, block_sizes={-1: 4})}})
    assert {name: (each.weight_bits, each.input_bits) for name, each in layers_in(made).items()} == {
        "matmul0": (16, 16), "matmul2": (16, 8), "matmul3": (16, 8)}
    assert operators(made).count("MatMul") == 3 + 2 + 1
    assert len([each for each in quantizers(made) if each.is_weight]) == 3      # the halves of w are shared


def test_a_layer_beside_it_keeps_its_input_quantised(rng: np.random.Generator) -> None:
    """The quantiser of both stands ahead of what moves their input; one of them has a weight of 16 bits."""
    model = network("t = Transpose <perm = [0, 2, 1]> (x) a = MatMul (t, w) b = MatMul (t, v) y = Mul (a, b)",
                    "float[N,6,7] x", w=normal(rng, 6, 9), v=normal(rng, 6, 9))
    made = graph.quantize(model, [normal(rng, 8, 6, 7)], **WIDE,
                          overrides={"matmul2": {"weight": QuantDescriptor(16, axis=0)}})
    assert {name: (layer.weight_bits, layer.input_bits) for name, layer in layers_in(made).items()} == {
        "matmul1": (8, 16), "matmul2": (16, 16)}


def test_a_network_with_a_residual(rng: np.random.Generator, tmp_path: Any) -> None:
    """Read from its file again it has the same bits; without quantisers it is the float model."""
    model, data, x = convolutional(rng), [images(rng, 8)], images(rng, 4)
    made = graph.quantize(model, data, **WIDE)
    wanted, = graph.interpret(model, {"x": x})
    got = assert_same_bits(graph.compile(made), made, {"x": x}, (1, 3))[0]
    undivided, = graph.interpret(whole(model, data, **WIDE), {"x": x})
    assert sqnr(undivided, got) > sqnr(wanted, got) + 20
    graph.save(made, tmp_path / "model.onnx")
    loaded = graph.load(tmp_path / "model.onnx")
    np.testing.assert_array_equal(graph.interpret(loaded, {"x": x})[0], got)
    for each in tuple(quantizers(made)):
        ir.convenience.replace_all_uses_with(each.output, each.input, replace_graph_outputs=True)
    np.testing.assert_allclose(graph.interpret(made, {"x": x})[0], wanted, rtol=1e-4, atol=1e-5)

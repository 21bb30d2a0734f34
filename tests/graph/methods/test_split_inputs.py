"""Inputs of 16 bits as sums of two of 8: by integers of NumPy, and by a program on every instruction set."""
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


def kinds(session: Any) -> set[str]:
    return {row.kernel for row in session.summary()}


def codes(x: Any, amax: Any) -> tuple[Any, Any]:
    """Integers of 8 bits, and what they stand for."""
    scale = np.float32(127) / np.float32(amax)
    found = np.clip(np.rint(x * scale), -128, 127)
    return found.astype(np.int64), (found / scale).astype(np.float32)


def test_two_products_of_integers(rng: np.random.Generator) -> None:
    """By NumPy's int64: a sum is rounded to float32, then once more when the bias is added, then both are added."""
    w, b, x = normal(rng, 5, 70), normal(rng, 5), 3 * normal(rng, 40, 70)
    made = graph.quantize(network("y = Gemm <transB = 1> (x, w, b)", "float[N,70] x", w=w, b=b), [x], **WIDE)
    x = 1.2 * normal(rng, 30, 70)
    x[0, :3] = 100, -100, 0
    amax = {each.name: each.amax for each in quantizers(made)}
    top, rest = amax["gemm0.input.2"], amax["gemm0.input.3"]
    assert set(amax) == {"gemm0.input.2", "gemm0.input.3", "gemm0.weight"} and rest == np.float32(top / 254)
    high, standing_for = codes(x, top)
    low, _ = codes(x - standing_for, rest)
    weight = np.clip(np.rint(w * (np.float32(127) / np.abs(w).max(axis=1))[:, None]), -127, 127).astype(np.int64)
    assert np.abs(low).max() == 128 and np.abs(high).max() == 128       # clipped at either end

    def product(integers: Any, most: Any, bias: Any) -> Any:
        scales = [np.float64(np.float32(127) / np.float32(each)) for each in (most, np.abs(w).max(axis=1))]
        by = (1 / (scales[0] * scales[1])).astype(np.float32)
        sums = (integers @ weight.T).astype(np.float32)
        return (sums.astype(np.longdouble) * by.astype(np.longdouble) + bias).astype(np.float32)

    wanted = product(high, top, b) + product(low, rest, 0)
    np.testing.assert_array_equal(graph.interpret(made, {"x": x})[0], wanted)


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


@pytest.mark.parametrize("moves", ["t = Identity (x)", "t = Transpose <perm = [0, 2, 1]> (x)"])
def test_layers_of_one_value_share_its_halves(rng: np.random.Generator, moves: str) -> None:
    model = network(f"{moves} a = MatMul (t, w) b = MatMul (t, v) y = Mul (a, b)", "float[N,6,6] x",
                    w=normal(rng, 6, 9), v=normal(rng, 6, 9))
    made = graph.quantize(model, [normal(rng, 8, 6, 6)], **WIDE)
    assert operators(made).count("Sub") == 1 and operators(made).count("MatMul") == 4
    assert len([each for each in quantizers(made) if not each.is_weight]) == 2


def test_other_inputs_stay_whole(rng: np.random.Generator) -> None:
    """With ranges found at every call, for other runtimes, and with weights of 16 bits."""
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    for made in (graph.quantize(model, None, input=QuantDescriptor(16)),
                 graph.quantize(model, data, input=QuantDescriptor(16), target="openvino"),
                 graph.quantize(model, data, input=QuantDescriptor(16), weight=QuantDescriptor(16, axis=0))):
        assert [each.spec.bits for each in quantizers(made) if not each.is_weight] == [16]
        assert operators(made) == ["Conv"]


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

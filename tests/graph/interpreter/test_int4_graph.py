"""Layers with 4-bit weights in groups as graphs: the bits of the layers, interpreted, compiled, saved and read back."""
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, graph, integer, nn
from pytorch_quantization_c.graph.interpreter.run import Interpreter
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from ...integer.test_int4_layers import groups_of


def network(rng, axis, amax=None):
    given = {} if amax is None else {"amax": amax}
    kwargs = {"quant_desc_input": QuantDescriptor(8, axis=axis, **given),
              "quant_desc_weight": QuantDescriptor(4, block_sizes={-1: 16})}
    net = float_nn.Sequential(nn.QuantLinear(72, 40, **kwargs), float_nn.ReLU(), nn.QuantLinear(40, 9, **kwargs)).eval()
    for layer in (net[0], net[2]):
        for parameter in (layer.weight, layer.bias):
            parameter[...] = rng.standard_normal(parameter.shape)
    return net


@pytest.mark.parametrize("axis, amax", [(None, None), (None, 2.0), (0, None)])
@pytest.mark.parametrize("frozen", [None, True, False])
def test_traced_layers_keep_their_bits(axis, amax, frozen, rng, tmp_path):
    net, x = network(rng, axis, amax), rng.standard_normal((5, 72)).astype(np.float32)
    if frozen is not None:
        pq.freeze(net, keep_float=frozen)
    want, model = net(x), graph.trace(net, x)
    assert net[0].execution == net[2].execution == "int8"
    np.testing.assert_array_equal(graph.interpret(model, {"input": x})[0], want)
    steps = [step for step in Interpreter(model).plan.steps if step.node.op_type == "Gemm"]
    assert [step.execution for step in steps] == ["int8", "int8"]
    session = graph.compile(model)
    np.testing.assert_array_equal(session.run(None, {"input": x})[0], want)
    session.save(tmp_path / "net.pqc")
    np.testing.assert_array_equal(graph.load_session(tmp_path / "net.pqc").run(None, {"input": x})[0], want)
    if axis is None and amax is not None:
        graph.save(model, tmp_path / "net.onnx")
        np.testing.assert_array_equal(graph.interpret(graph.load(tmp_path / "net.onnx"), {"input": x})[0], want)


def test_a_weight_in_groups_of_a_file_is_multiplied_as_integers(rng):
    """DequantizeLinear in blocks along K of a MatMul (K, N), and quantised inputs, as other tools write them."""
    weight = rng.standard_normal((20, 64)).astype(np.float32)
    codes, scale = groups_of(weight, 4, 32)
    steps = (np.float32(1) / scale).astype(np.float32)
    arrays = {"w": helper.make_tensor("w", TensorProto.INT4, (64, 20), codes.T.reshape(-1).tolist()),
              "s": numpy_helper.from_array(np.ascontiguousarray(steps.T), "s"),
              "xs": numpy_helper.from_array(np.float32(0.02), "xs"), "xz": numpy_helper.from_array(np.int8(0), "xz")}
    nodes = [helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
             helper.make_node("DequantizeLinear", ["w", "s"], ["f"], axis=0, block_size=32),
             helper.make_node("MatMul", ["d", "f"], ["y"], "product")]
    made = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 20])],
                             list(arrays.values()))
    model = graph.load(helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    x = rng.standard_normal((3, 64)).astype(np.float32)
    found, = graph.interpret(model, {"x": x})
    exact = (np.clip(np.rint(x / np.float32(0.02)), -128, 127) * np.float64(0.02)) @ (codes / scale.repeat(32, 1)).T
    assert np.abs(found - exact).max() <= 2e-6 * np.abs(exact).max()
    step, = (step for step in Interpreter(model).plan.steps if step.node.op_type == "MatMul")
    assert step.execution == "int8"
    with integer.float_only():
        assert np.abs(graph.interpret(model, {"x": x})[0] - exact).max() <= 2e-6 * np.abs(exact).max()

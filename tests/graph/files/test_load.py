"""Models in whatever form they come: the same numbers as ONNX's own evaluator, and nothing of the user's lost."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

from pytorch_quantization_c import graph

from ..models import model_of
from ..networks import network, normal, operators
from ..small_network import batches, classifier

OLD = {9, 10, 11, 12}


def expected(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    return list(ReferenceEvaluator(model).run(None, feeds))


@pytest.mark.parametrize("opset", range(9, 26))
def test_opsets(rng: np.random.Generator, opset: int) -> None:
    """Models of opsets 9 to 25; those below 13 are raised to it, and their nodes keep their names."""
    nodes = [make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]), make_node("Relu", ["c"], ["r"], "relu"),
             make_node("Transpose", ["r"], ["t"], "move", perm=[0, 2, 3, 1])]
    if opset < 13:
        nodes.append(make_node("Squeeze", ["t"], ["s"], "squeeze", axes=[0]))
        nodes.append(make_node("Softmax", ["s"], ["y"], "softmax", axis=2))
    else:
        nodes.append(make_node("Squeeze", ["t", "axes"], ["s"], "squeeze"))
        nodes.append(make_node("Softmax", ["s"], ["y"], "softmax", axis=2))
    constants = {"w": rng.normal(size=(4, 3, 3, 3)), **({"axes": np.array([0])} if opset >= 13 else {})}
    model = model_of(nodes, {"x": [1, 3, 5, 6]}, {"y": [5, 6, 4]}, constants, opset)
    feeds = {"x": rng.normal(size=(1, 3, 5, 6)).astype(np.float32)}
    loaded = graph.load(model)
    assert loaded.opset_imports[""] == max(opset, 13)
    assert {node.name for node in loaded.graph} >= {"conv", "relu", "move", "squeeze", "softmax"}
    y = np.maximum(graph.Interpreter(loaded).run(feeds, ["c"])[0], 0).transpose(0, 2, 3, 1)[0]
    e = np.exp(y - y.max(axis=-1, keepdims=True))
    assert np.allclose(graph.interpret(loaded, feeds)[0], e / e.sum(axis=-1, keepdims=True), atol=1e-6)


def test_every_kind_of_source(rng: np.random.Generator, tmp_path: Path) -> None:
    model, (feeds,) = classifier(rng), batches(rng, 1, 2)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    before = model.SerializeToString(deterministic=True)
    in_memory = ir.from_proto(model)
    answers = [graph.interpret(graph.load(source), feeds)[0]
               for source in (path, str(path), path.read_bytes(), model, in_memory)]
    assert all(np.array_equal(each, answers[0]) for each in answers)
    assert model.SerializeToString(deterministic=True) == before
    assert ir.to_proto(in_memory).SerializeToString(deterministic=True) == ir.to_proto(
        ir.from_proto(model)).SerializeToString(deterministic=True)


def test_external_data(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants in a file beside the model are read from its folder, wherever the process stands."""
    model, (feeds,) = classifier(rng), batches(rng, 1, 2)
    expected_y = graph.interpret(graph.load(model), feeds)[0]
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path.parent)
    loaded = graph.load(tmp_path / "model.onnx")
    os.unlink(tmp_path / "weights.bin")
    assert np.array_equal(graph.interpret(loaded, feeds)[0], expected_y)


def test_dynamic_axes(rng: np.random.Generator) -> None:
    model = model_of([make_node("Relu", ["x"], ["y"], "relu")], {"x": ["N", 3, None]}, {"y": ["N", 3, None]}, {})
    interpreter = graph.Interpreter(graph.load(model))
    for shape in ((1, 3, 5), (4, 3, 1), (0, 3, 2)):
        x = rng.normal(size=shape).astype(np.float32)
        assert np.array_equal(interpreter.run({"x": x})[0], np.maximum(x, 0))


def test_axes_of_negative_size_may_vary(rng: np.random.Generator) -> None:
    """Some exporters write -1; onnxruntime takes such axes as unknown, outputs and inner values alike."""
    model = model_of([make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), make_node("Relu", ["c"], ["y"])],
                     {"x": [-1, 3, -1, 8]}, {"y": [-1, 2, -1, 8]}, {"w": rng.normal(size=(2, 3, 3, 3))})
    model.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [-1, 2, -1, 8]))
    loaded = graph.load(model)
    batches = [rng.normal(size=(count, 3, rows, 8)).astype(np.float32) for count, rows in ((1, 4), (3, 6))]
    int8 = graph.quantize(loaded, batches)
    for x in batches:
        y, = graph.interpret(loaded, {"x": x})
        np.testing.assert_allclose(y, expected(model, {"x": x})[0], rtol=1e-5, atol=1e-5)
        assert np.abs(graph.compile(int8).run(None, {"x": x})[0] - y).max() < 0.05 * y.max()


def test_several_inputs_and_outputs_of_several_types(rng: np.random.Generator) -> None:
    """Integers, booleans and bytes go in and come out as they are."""
    nodes = [make_node("Gather", ["table", "ids"], ["rows"], "embed"),
             make_node("Cast", ["image"], ["f"], "cast", to=TensorProto.FLOAT),
             make_node("Where", ["mask", "rows", "f"], ["y"], "where"), make_node("Shape", ["y"], ["n"], "shape"),
             make_node("Not", ["mask"], ["no"], "not")]
    kinds = {"ids": TensorProto.INT64, "image": TensorProto.UINT8, "mask": TensorProto.BOOL}
    inputs = [helper.make_tensor_value_info(name, kind, [2, 3][:2 - (name == "ids")]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in
               (("y", TensorProto.FLOAT), ("n", TensorProto.INT64), ("no", TensorProto.BOOL))]
    table = numpy_helper.from_array(rng.normal(size=(5, 3)).astype(np.float32), "table")
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, [table]), ir_version=9,
                              opset_imports=[helper.make_opsetid("", 17)])
    feeds = {"ids": np.array([4, 0]), "image": rng.integers(0, 256, (2, 3)).astype(np.uint8),
             "mask": rng.integers(0, 2, (2, 3)).astype(bool)}
    for got, wanted in zip(graph.interpret(graph.load(model), feeds), expected(model, feeds), strict=True):
        assert got.dtype == wanted.dtype and np.array_equal(got, wanted)


def test_tied_weights_stay_one(rng: np.random.Generator) -> None:
    nodes = [make_node("Gemm", ["x", "w"], ["a"], "first", transB=1), make_node("Gemm", ["a", "w"], ["y"], "second")]
    loaded = graph.load(model_of(nodes, {"x": [2, 4]}, {"y": [2, 4]}, {"w": rng.normal(size=(4, 4))}))
    first, second = loaded.graph
    assert first.inputs[1] is second.inputs[1] and len(loaded.graph.initializers) == 1


def branch(name: str, text: str) -> onnx.GraphProto:
    return onnx.parser.parse_graph(f"{name} () => (float[2] {name}_y) {{ {text} }}")


def test_subgraphs(rng: np.random.Generator) -> None:
    """If and Loop, with values from outside, in each other; what they hold stays float and whole."""
    inner = onnx.parser.parse_graph("""
        body (int64 i, bool go, float[2] carried) => (bool on, float[2] next, float[2] each)
        { on = Identity(go)  next = Add(carried, x)  each = Mul(next, next) }""")
    then = branch("then", "then_y = Mul(x, x)")
    other = onnx.GraphProto()
    other.CopyFrom(branch("other", "other_y = Relu(x)"))
    del other.node[:]
    other.node.append(make_node("Loop", ["times", "", "x"], ["other_y", "all"], "loop", body=inner))
    nodes = [make_node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other)]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
              helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    model = helper.make_model(helper.make_graph(
        nodes, "g", values, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array(3), "times")]), ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    x = rng.normal(size=2).astype(np.float32)
    interpreter = graph.Interpreter(graph.load(model))
    assert np.array_equal(interpreter.run({"x": x, "c": np.array(True)})[0], x * x)
    assert np.allclose(interpreter.run({"x": x, "c": np.array(False)})[0], 4 * x)


def test_functions_are_inlined(rng: np.random.Generator) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17, "my": 1]>
        g (float[N] x) => (float[N] y) { h = my.twice(x)  y = my.twice(h) }
        <domain: "my", opset_import: ["": 17]> twice (a) => (b) { t = Relu(a)  b = Add(t, t) }""")
    x = rng.normal(size=7).astype(np.float32)
    loaded = graph.load(model)
    assert [node.op_type for node in loaded.graph] == ["Relu", "Add", "Relu", "Add"] and not loaded.functions
    assert np.array_equal(graph.interpret(loaded, {"x": x})[0], 4 * np.maximum(x, 0))


def test_what_is_the_users_is_kept(rng: np.random.Generator) -> None:
    model = classifier(rng, 11)
    model.producer_name, model.doc_string = "somebody", "a text"
    helper.set_model_props(model, {"author": "me"})
    model.graph.node[0].doc_string = "the first"
    loaded = graph.load(model)
    assert (loaded.producer_name, loaded.doc_string, dict(loaded.metadata_props)) == ("somebody", "a text",
                                                                                     {"author": "me"})
    back = ir.to_proto(loaded)
    assert list(back.graph.input) == list(model.graph.input) and list(back.graph.output) == list(model.graph.output)
    assert {node.name for node in back.graph.node} == {node.name for node in model.graph.node}
    assert {each.name for each in model.graph.initializer} <= {each.name for each in back.graph.initializer}
    assert next(node for node in back.graph.node if node.name == "stem").doc_string == "the first"


def test_nodes_without_a_name_get_one() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        g (float[N] x) => (float[N] y) { a = Relu(x)  [Relu_y] b = Neg(a)  y = Relu(b) }""")
    assert [node.name for node in graph.load(model).graph] == ["Relu_a", "Relu_y", "Relu_y_1"]


def test_nodes_in_any_order(rng: np.random.Generator) -> None:
    model = model_of([make_node("Relu", ["b"], ["y"], "last"), make_node("Neg", ["x"], ["b"], "first")], {"x": [3]},
                     {"y": [3]}, {})
    x = rng.normal(size=3).astype(np.float32)
    assert np.array_equal(graph.interpret(graph.load(model), {"x": x})[0], np.maximum(-x, 0))


def test_inputs_with_a_value_of_their_own(rng: np.random.Generator) -> None:
    """From IR version 4 on a caller may feed them or not; before it they were constants."""
    model = model_of([make_node("Mul", ["x", "k"], ["y"], "mul")], {"x": [3], "k": [1]}, {"y": [3]},
                     {"k": np.array([2.0])})
    x = rng.normal(size=3).astype(np.float32)
    session = graph.compile(model)
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert np.array_equal(session.run(None, {"x": x})[0], 2 * x)
    assert np.array_equal(session.run(None, {"x": x, "k": np.array([3], np.float32)})[0], 3 * x)
    model.ir_version = 3
    assert [value.name for value in graph.load(model).graph.inputs] == ["x"]


def test_weights_that_layers_share(rng: np.random.Generator) -> None:
    """Exporters write equal ones once, and an Identity for each other layer; one that is an output stays."""
    model = network("""w2 = Identity (w)  b2 = Identity (b)  c = Conv (x, w, b)  r = Relu (c)  y = Conv (r, w2, b2)
                       z = Identity (b)  k = Identity (x)  u = Neg (k)""", "float[N,4,5,5] x",
                    "float[N,4,5,5] y, float[4] z, float[N,4,5,5] u", w=normal(rng, 4, 4, 1, 1), b=normal(rng, 4))
    loaded = graph.load(model)
    assert operators(loaded) == ["Conv", "Relu", "Conv", "Identity", "Identity", "Neg"]
    feeds = {"x": normal(rng, 2, 4, 5, 5)}
    for found, wanted in zip(graph.interpret(loaded, feeds), graph.interpret(model, feeds), strict=True):
        assert found.tobytes() == wanted.tobytes()
    assert "Python" not in {row.kernel for row in graph.compile(model).summary() if row.name.startswith("conv")}


def test_operators_that_are_written_out(rng: np.random.Generator) -> None:
    """Those that ONNX defines by others, which programs compute in C and files for other runtimes may hold."""
    model = network("""n = RMSNormalization (x, w)  r = Reshape (n, heads)  h = Transpose <perm = [0, 2, 1, 3]> (r)
                       e = RotaryEmbedding (h, cosine, sine, at)  v = Neg (h)
                       a = Attention <is_causal = 1> (e, h, v)  y = Relu (a)""",
                    "float[N,T,16] x, int64[N,T] at", "float[N,2,T,8] y", opset=23, w=normal(rng, 16),
                    heads=np.array([0, 0, 2, 8]), cosine=normal(rng, 9, 4), sine=normal(rng, 9, 4))
    loaded = graph.load(model)
    assert not {"Attention", "RMSNormalization", "RotaryEmbedding"} & {*operators(loaded)}
    feeds = {"x": normal(rng, 2, 5, 16), "at": rng.integers(0, 9, (2, 5))}
    wanted, = expected(ir.to_proto(model), feeds)
    np.testing.assert_allclose(graph.interpret(loaded, feeds)[0], wanted, rtol=1e-4, atol=1e-5)
    session = graph.compile(model)
    np.testing.assert_array_equal(session.run(None, feeds)[0], graph.interpret(loaded, feeds)[0])


def test_large_weights_are_decoded_once(rng: np.random.Generator) -> None:
    """Protobuf copies the bytes of a tensor whenever it is asked for them; small ones and texts stay as they are."""
    weight = rng.normal(size=(300, 200)).astype(np.float32)
    proto = model_of([make_node("MatMul", ["x", "w"], ["y"])], {"x": (2, 300)}, ["y"], {"w": weight})
    loaded = graph.load(proto)
    tensor = loaded.graph.initializers["w"].const_value
    assert tensor is not None and tensor.numpy() is tensor.numpy()
    np.testing.assert_array_equal(tensor.numpy(), weight)
    x = rng.normal(size=(2, 300)).astype(np.float32)
    np.testing.assert_allclose(graph.interpret(loaded, {"x": x})[0], x @ weight, rtol=1e-4, atol=1e-4)

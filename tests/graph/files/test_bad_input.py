"""Models that are none: an error that names the node or the value and says what was expected, and nothing else."""
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

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph import extra

from ..models import model_of
from ..quantized import FORMATS, quantized
from ..small_network import batches, classifier

HEAD = '<ir_version: 9, opset_import: ["": 17]> g '


def parsed(text: str, head: str = HEAD) -> onnx.ModelProto:
    return onnx.parser.parse_model(head + text)


def with_constant(array: Any, text: str, name: str = "w") -> onnx.ModelProto:
    model = parsed(text)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def huge() -> onnx.ModelProto:
    model = with_constant(np.ones((2, 2), np.float32), "(float[2] x) => (float[2] y) { y = MatMul(w, x) }")
    model.graph.initializer[0].dims[0] = 2 ** 31
    return model


def wrong_size() -> onnx.ModelProto:
    model = with_constant(np.ones((2, 2), np.float32), "(float[2] x) => (float[2] y) { y = MatMul(w, x) }")
    model.graph.initializer[0].raw_data = b"123"
    return model


def nameless_type() -> onnx.ModelProto:
    model = with_constant(np.ones((2, 2), np.float32), "(float[2] x) => (float[2] y) { y = MatMul(w, x) }")
    model.graph.initializer[0].data_type = 77
    return model


def of_opset(version: int) -> onnx.ModelProto:
    model = parsed("(float[2] x) => (float[2] y) { y = Relu(x) }")
    model.opset_import[0].version = version
    return model


def branches(damage: str) -> onnx.ModelProto:
    """An If whose `else_branch` is damaged."""
    model = parsed("(float[2] x, bool c) => (float[2] y) { [n] y = If(c) <then_branch = t () => (float[2] a) "
                   "{ a = Relu(x) }, else_branch = e () => (float[2] b) { b = Neg(x) }> }")
    attributes = model.graph.node[0].attribute
    other = next(each for each in attributes if each.name == "else_branch")
    if damage == "no type":
        other.type = onnx.AttributeProto.UNDEFINED
    elif damage == "a number":
        other.CopyFrom(helper.make_attribute("else_branch", 3))
    else:
        attributes.remove(other)
    return model


CASES: list[tuple[str, Any, str]] = [
    ("cycle", lambda: parsed("(float[2] x) => (float[2] y) { a = Add(x, b)  b = Relu(a)  y = Neg(b) }"),
     "Expected a graph without cycles"),
    ("unknown operator", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = Frobnicate(x) }"),
     r"Node 'n' \(Frobnicate\): No Op registered"),
    ("unknown domain", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = my.Op(x) }"),
     r"Node 'n' \(my.Op\): expected a domain of the model's opset imports \[''\], got 'my'"),
    ("operator of another domain", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = my.Op(x) }",
                                                  '<ir_version: 9, opset_import: ["": 17, "my": 1]> g '),
     r"Node 'n' \(my.Op\) is an operator that cannot be run"),
    ("unknown attribute", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = Relu<colour = 3>(x) }"),
     r"Node 'n' \(Relu\): .*colour"),
    ("attribute missing", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = Cast(x) }"),
     r"Node 'n' \(Cast\): .*to"),
    ("too few inputs", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = Add(x) }"), r"Node 'n' \(Add\): "),
    ("wrong types", lambda: with_constant(np.ones(2, np.int32), "(float[2] x) => (float[2] y) { [n] y = Add(x, w) }"),
     r"Expected types and shapes that agree, got .*Add.*n\b.*int32"),
    ("shapes that disagree", lambda: with_constant(np.ones(3, np.float32),
                                                   "(float[2] x) => (float[2] y) { [n] y = Add(x, w) }"),
     r"Expected types and shapes that agree, got .*Add.*Incompatible dimensions"),
    ("shapes of a large weight that disagree", lambda: with_constant(np.ones((30000, 3), np.float32),
                                                   "(float[2] x) => (float[2] y) { [n] y = Add(x, w) }"),
     r"Expected types and shapes that agree, got .*Add.*Incompatible dimensions"),
    ("weight of other channels", lambda: with_constant(
        np.ones((4, 2, 1, 1), np.float32), "(float[1,3,8,8] x) => (float[1,4,8,8] y) { [n] y = Conv(x, w) }"),
     r"Node 'n' \(Conv\): .*; its inputs are 'x' float32\[1, 3, 8, 8\], 'w' float32\[4, 2, 1, 1\]"),
    ("value that nothing makes", lambda: parsed("(float[2] x) => (float[2] y) { [n] y = Add(x, q) }"),
     r"Node 'n' \(Add\): expected inputs that an input, a constant or a node ahead gives, got 'q'"),
    ("output that nothing makes", lambda: parsed("(float[2] x) => (float[2] y) { [n] z = Relu(x) }"),
     "Expected outputs that the graph computes, got 'y'"),
    ("value made twice", lambda: parsed("(float[2] x) => (float[2] y) { [m] y = Relu(x)  [n] y = Neg(x) }"),
     r"Node 'n' \(Neg\): expected a value of its own, got 'y'"),
    ("2^31 elements", huge, r"Expected initialiser 'w' of at most 2147483647 elements, got shape \(2147483648, 2\)"),
    ("bytes of another number", wrong_size, r"Expected initialiser 'w' of 16 bytes for FLOAT\[2, 2\], got 3"),
    ("unknown type", nameless_type, "Expected initialiser 'w' of a type of ONNX, got number 77"),
    ("old", lambda: of_opset(8), "Expected opset 9 to 25, got 8"), ("new", lambda: of_opset(26), "got 26"),
    ("no opset", lambda: of_opset(0), "Expected opset 9 to 25, got 0"),
    ("NaN in a weight", lambda: with_constant(np.full((3, 2), np.nan, np.float32),
                                              "(float[3] x) => (float[2] y) { [n] y = MatMul(x, w) }"),
     r"Node 'n' \(MatMul\): expected finite numbers in 'w', got nan"),
    ("infinity in a weight", lambda: with_constant(np.full((4, 3, 1, 1), -np.inf, np.float32),
                                                   "(float[1,3,8,8] x) => (float[1,4,8,8] y) { [n] y = Conv(x, w) }"),
     r"Node 'n' \(Conv\): expected finite numbers in 'w', got -inf"),
    ("empty", lambda: b"", "Expected `model` to be an ONNX model, got one without a graph"),
    ("text", lambda: b"This is no model.", "Expected `model` to be an ONNX model, got something else"),
    ("a branch without a type", lambda: branches("no type"), r"Node 'n' \(If\): expected .*'else_branch'.* got none"),
    ("a branch that is a number", lambda: branches("a number"),
     r"Node 'n' \(If\): expected a graph as its attribute 'else_branch', got another value"),
    ("no branch", lambda: branches("gone"), r"Node 'n' \(If\): expected a graph .*'else_branch', got none"),
    ("no outputs", lambda: helper.make_model(helper.make_graph([], "g", [], []),
                                             opset_imports=[helper.make_opsetid("", 17)]),
     "a graph that has outputs, got none"),
]


@pytest.mark.parametrize(("model", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_models_that_are_none(model: Any, text: str) -> None:
    """Refused when loaded, or if only their numbers are wrong when run."""
    with pytest.raises(graph.GraphError, match=text):
        session = graph.compile(model())
        session.run(None, {each.name: np.ones([n for n in each.shape or () if isinstance(n, int)], np.float32)
                           for each in session.get_inputs()})


GIANT = "65536, 65536"
GIANTS = ["s = Constant<value = int64[2] {65536, 65536}>()  y = Expand(x, s)",
          "s = Constant<value = int64[2] {65536, 65536}>()  c = ConstantOfShape(s)  y = Add(c, x)",
          "s = Constant<value = int64[1] {4294967296}>()  y = Tile(x, s)",
          "p = Constant<value = int64[2] {0, 4294967296}>()  y = Pad(x, p)",
          "a = Constant<value = int64 {0}>()  b = Constant<value = int64 {4294967296}>()  "
          "c = Constant<value = int64 {1}>()  r = Range(a, b, c)  y = Cast<to = 1>(r)",
          "s = Constant<value = int64[1] {4294967296}>()  y = Resize<mode = \"nearest\">(x, , , s)"]


@pytest.mark.parametrize("text", GIANTS)
def test_values_of_more_elements_than_there_may_be(text: str) -> None:
    shape = "N, M" if GIANT in text else "N"
    model = graph.load(parsed(f"(float[1] x) => (float[{shape}] y) {{ {text} }}"))
    with pytest.raises(graph.GraphError, match=r"Expected at most 2147483647 elements, got 429496729\d in shape"):
        graph.interpret(model, {"x": np.ones(1, np.float32)})


OUTSIDE = ["../secret.bin", "/etc/passwd", "sub/../../secret.bin", "link.bin", "missing.bin", "", ".", "a\0b"]


@pytest.mark.parametrize("location", OUTSIDE)
def test_constants_outside_of_the_folder(rng: np.random.Generator, tmp_path: Path, location: str) -> None:
    """A file may name others of its own folder alone, whatever the way there looks like."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    model = with_constant(np.ones((3, 2), np.float32), "(float[3] x) => (float[2] y) { y = MatMul(x, w) }")
    point_to(model.graph.initializer[0], location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(graph.GraphError, match=r"Expected tensor 'w' in (a|the) file"):
        graph.load(folder / "model.onnx")
    with pytest.raises(graph.GraphError, match="Expected tensor 'w' in the model itself, got one in another file"):
        graph.load(model)


def point_to(tensor: TensorProto, location: str, **more: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


@pytest.mark.parametrize("more", [{"offset": "90"}, {"offset": "-1"}, {"length": "101"}, {"offset": "many"},
                                  {"offset": "80", "length": "24"}, {"length": "-5"}, {"length": "23"}])
def test_constants_beyond_the_end_of_their_file(tmp_path: Path, more: dict[str, str]) -> None:
    model = with_constant(np.ones((3, 2), np.float32), "(float[3] x) => (float[2] y) { y = MatMul(x, w) }")
    point_to(model.graph.initializer[0], "weights.bin", **more)
    (tmp_path / "weights.bin").write_bytes(bytes(100))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(graph.GraphError, match="'w'"):
        graph.load(tmp_path / "model.onnx")


def attempt(data: bytes, feeds: dict[str, Any]) -> bool:
    """Loads and runs what may be no model; True if it could be run. Nothing but a GraphError may happen."""
    try:
        graph.interpret(graph.load(data), feeds)
    except graph.GraphError as error:
        assert str(error) and len(str(error)) < 3000
        return False
    return True


@pytest.fixture(scope="module")
def file() -> tuple[bytes, dict[str, Any]]:
    """A quantised file and its feeds."""
    from pytorch_quantization_c.graph.files.writer import exported

    rng = np.random.default_rng(0)
    (feeds,) = batches(rng, 1, 1)
    return exported(quantized(classifier(rng), feeds, FORMATS[0])).SerializeToString(), feeds


def test_files_that_are_cut_off(file: tuple[bytes, dict[str, Any]]) -> None:
    data, feeds = file
    lengths = sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 10, len(data))})
    assert sum(attempt(data[:length], feeds) for length in lengths) <= 10  # what was cut off were texts


def test_files_with_flipped_bits(rng: np.random.Generator, file: tuple[bytes, dict[str, Any]]) -> None:
    data, feeds = file
    for place in rng.integers(0, 8 * len(data), 200):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        attempt(bytes(flipped), feeds)


def test_nothing_is_written_where_a_model_is_none(rng: np.random.Generator, tmp_path: Path) -> None:
    """An existing file stays as it is."""
    model = graph.load(classifier(rng))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    model.graph.append(ir.Node("", "Frobnicate", [model.graph.inputs[0]], name="n"))
    model.graph.outputs.append(model.graph[-1].outputs[0])
    model.graph.outputs[-1].name = "z"
    with pytest.raises(graph.GraphError):
        graph.save(model, path)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("damage", ["bits", "amax", "unsigned", "axis"])
def test_quantisers_that_are_none(rng: np.random.Generator, damage: str) -> None:
    """Nodes of our own domain in a model that somebody else has made."""
    (feeds,) = batches(rng, 1, 1)
    model = quantized(classifier(rng), feeds, FORMATS[0])
    node = next(node for node in model.graph if node.name == "stem.x")
    if damage == "amax":
        node.replace_input_with(1, model.graph.inputs[0])
    else:
        node.attributes[damage] = ir.AttrInt64(damage, 99)
    with pytest.raises(graph.GraphError, match="stem.x"):
        graph.interpret(model, feeds)


def test_a_model_in_memory_that_cannot_be_written() -> None:
    model = graph.load(parsed("(float[2] x) => (float[2] y) { y = Relu(x) }"))
    model.graph.metadata_props["note"] = b"\xff"  # type: ignore[assignment]
    with pytest.raises(graph.GraphError, match="model that can be written, got one that cannot"):
        graph.compile(model)


def test_the_kind_of_source() -> None:
    with pytest.raises(TypeError, match="Expected `model` to be a path, bytes, an onnx.ModelProto or an onnx_ir.Model"):
        graph.load(3)  # type: ignore[arg-type]


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "onnx_ir" else real(name))
    with pytest.raises(ImportError, match=r"`graph.load` needs the extra `onnx`, of which onnx_ir is missing: pip "):
        graph.load  # noqa: B018


def test_a_value_that_is_not_there() -> None:
    model = model_of([make_node("Relu", ["x"], ["y"], "relu")], {"x": [2]}, {"y": [2]}, {})
    with pytest.raises(graph.GraphError, match="Expected the name of a value of the graph, got 'q'"):
        graph.Interpreter(graph.load(model)).run({"x": np.zeros(2, np.float32)}, ["q"])


def test_a_cycle_in_memory() -> None:
    model = ir.from_proto(parsed("(float[2] x) => (float[2] y) { a = Add(x, b)  b = Relu(a)  y = Neg(b) }"))
    with pytest.raises(graph.GraphError, match=r"that can be written, got one that cannot: .*%\"b\".*used by node"):
        graph.compile(model)


def test_a_model_that_is_not_loaded_is_not_interpreted() -> None:
    model: Any = parsed("(float[2] x) => (float[2] y) { y = Neg(x) }")
    with pytest.raises(TypeError, match="Expected `model` to be an onnx_ir.Model, as `graph.load` returns it, got Mod"):
        graph.interpret(model, {"x": np.ones(2, np.float32)})


@pytest.mark.parametrize("node, text", [
    ('Conv <auto_pad = "WRONG"> (x, w)', "Expected `auto_pad` to be one of NOTSET, VALID, SAME_UPPER, SAME_LOWER"),
    ('MaxPool <kernel_shape = [3, 3], auto_pad = "WRONG"> (x)', "Expected `auto_pad` to be one of NOTSET, VALID, SAME"),
    (f"Conv <strides = [{2 ** 40}, 1]> (x, w)", "Expected `stride` to be an integer from 1 to 2147483647"),
    (f"Conv <pads = [{2 ** 40}, 0, 0, 0]> (x, w)", "Expected at most 2147483647 elements"),
    (f"MaxPool <kernel_shape = [3, 3], pads = [{2 ** 40}, 0, 0, 0]> (x)", "Expected at most 2147483647 elements")])
def test_windows_that_there_are_not(node: str, text: str) -> None:
    """The node is named when it runs, since only then all sizes are known."""
    model = with_constant(np.ones((2, 2, 3, 3), np.float32),
                          f"(float[N,2,5,5] x) => (float[N,2,A,B] y) {{ y = {node} }}")
    x, op = {"x": np.ones((1, 2, 5, 5), np.float32)}, node.split()[0]
    session = graph.compile(model)
    for run in (lambda: session.run(None, x), lambda: graph.interpret(session.model, x)):
        with pytest.raises(graph.GraphError, match=rf"Node '{op}_y' \({op}\): {text}"):
            run()

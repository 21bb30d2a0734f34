"""Operators of users: computed by their functions in graphs, in quantised ones and in programs that were saved."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph import GraphError
from pytorch_quantization_c.graph.interpreter import custom
from tests.process import run_python

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def none_registered() -> Iterator[None]:
    before = dict(custom._functions)
    custom._functions.clear()
    yield
    custom._functions.clear()
    custom._functions.update(before)


def model(outputs: int = 1, **attributes: Any) -> onnx.ModelProto:
    names = [f"y{number}" for number in range(outputs)]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
             helper.make_node("Swirl", ["a"], names, name="swirl", domain="my.operators", **attributes)]
    made = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in names],
        [numpy_helper.from_array(WEIGHT, "w")])
    return helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 17),
                                                                helper.make_opsetid("my.operators", 1)])


def register_swirl() -> None:
    @graph.custom_operator("Swirl", "my.operators")
    def swirl(x: Any, *, gain: float = 1.0) -> Any:
        return np.sin(np.float32(gain) * x)


def test_its_function_computes_it() -> None:
    register_swirl()
    y, = graph.interpret(graph.load(model(gain=2.0)), {"x": X})
    np.testing.assert_allclose(y, np.sin(2 * (X @ WEIGHT)), rtol=1e-5, atol=1e-6)


def test_quantised_compiled_and_saved(tmp_path: Path) -> None:
    register_swirl()
    int8 = graph.quantize(graph.load(model(gain=2.0)), [X])
    y, = graph.interpret(int8, {"x": X})
    np.testing.assert_allclose(y, np.sin(2 * (X @ WEIGHT)), atol=0.2)
    graph.save(int8, tmp_path / "net.onnx")
    assert np.array_equal(graph.interpret(graph.load(tmp_path / "net.onnx"), {"x": X})[0], y)
    session = graph.compile(int8)
    assert np.array_equal(session.run(None, {"x": X})[0], y)
    session.save(tmp_path / "net.pqc")
    assert np.array_equal(graph.load_session(tmp_path / "net.pqc").run(None, {"x": X})[0], y)
    custom._functions.clear()
    with pytest.raises(GraphError, match=r"no function is registered for my\.operators\.Swirl"):
        graph.load_session(tmp_path / "net.pqc")


def test_a_process_without_onnx_runs_it(tmp_path: Path) -> None:
    register_swirl()
    graph.compile(graph.quantize(graph.load(model(gain=2.0)), [X])).save(tmp_path / "net.pqc")
    done = run_python("-c", f"""
import sys
sys.modules["onnx"] = sys.modules["onnx_ir"] = None
import numpy as np
from pytorch_quantization_c import graph
graph.custom_operator("Swirl", "my.operators")(lambda x, *, gain: np.sin(np.float32(gain) * x))
y = graph.load_session({str(tmp_path / "net.pqc")!r}).run(None, {{"x": np.ones((2, 4), np.float32)}})[0]
assert y.shape == (2, 3)
""")
    assert done.returncode == 0, done.stderr


def test_attributes_and_outputs() -> None:
    seen: dict[str, Any] = {}

    @graph.custom_operator("Swirl", "my.operators")
    def swirl(x: Any, **attributes: Any) -> Any:
        seen.update(attributes)
        return x, -x

    tensor = numpy_helper.from_array(np.arange(3))
    found = graph.interpret(graph.load(model(2, text="a", number=3, numbers=[1, 2], real=0.5, table=tensor)), {"x": X})
    assert np.array_equal(found[0], -found[1])
    assert (seen.pop("table") == np.arange(3)).all()
    assert seen == {"text": "a", "number": 3, "numbers": (1, 2), "real": 0.5}


def test_what_it_returns_is_counted() -> None:
    graph.custom_operator("Swirl", "my.operators")(lambda x: (x, x))
    with pytest.raises(GraphError, match=r"my\.operators\.Swirl.*expected its function to return 1 arrays, got 2|"
                                         r"my\.operators\.Swirl.*Expected its function to return 1 arrays, got 2"):
        graph.interpret(graph.load(model()), {"x": X})


def test_an_error_in_it_names_the_node() -> None:
    @graph.custom_operator("Swirl", "my.operators")
    def swirl(x: Any) -> Any:
        raise ArithmeticError("no way")

    with pytest.raises(GraphError, match=r"'swirl'.*no way"):
        graph.interpret(graph.load(model()), {"x": X})


def test_refusals() -> None:
    with pytest.raises(GraphError, match=r"Swirl.*`graph\.custom_operator` registers"):
        graph.interpret(graph.load(model()), {"x": X})
    for arguments, error, text in (
            (("", "my"), ValueError, "op_type"), (("A", ""), ValueError, "domain"),
            (("A", "ai.onnx"), ValueError, "domain"), (("A", "pytorch_quantization_c"), ValueError, "domain"),
            ((3, "my"), TypeError, "op_type"), (("A", None), TypeError, "domain")):
        with pytest.raises(error, match=f"Expected `{text}`"):
            graph.custom_operator(*arguments)   # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected a function"):
        graph.custom_operator("A", "my")(3)     # type: ignore[type-var]

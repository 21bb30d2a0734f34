"""Images from -1 to 1, and constants, in other tools' files: the code is that of ONNX's text, by onnx.reference."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers


def model(nodes: list[Any], constants: dict[str, Any], shape: list[int], result: list[int]) -> onnx.ModelProto:
    """Of `x` to `y`, floats."""
    made = helper.make_graph([helper.make_node(*each) if isinstance(each, tuple) else each for each in nodes], "ties",
                             [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
                             [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("zero", [1, 127, 128, 200])
def test_images_from_minus_one_to_one(zero: int, rng: np.random.Generator) -> None:
    """Each pixel lies half way between two codes; the convolution that reads them sums the text's codes exactly."""
    step = np.float32(2) / np.float32(255)
    pixels = np.arange(256, dtype=np.float32).reshape(4, 1, 8, 8)
    images = (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    codes = rng.integers(-127, 128, (3, 1, 1, 1)).astype(np.int8)
    made = model([("QuantizeLinear", ["x", "step", "zero"], ["q"]), ("DequantizeLinear", ["q", "step", "zero"], ["d"]),
                  ("DequantizeLinear", ["w", "one", "none"], ["f"]), ("Conv", ["d", "f"], ["y"])],
                 {"step": step, "zero": np.uint8(zero), "w": codes, "one": np.float32(1), "none": np.int8(0)},
                 [4, 1, 8, 8], [4, 3, 8, 8])
    expected, = ReferenceEvaluator(made).run(None, {"x": images})
    loaded = graph.load(made)
    for got in (graph.interpret(loaded, {"x": images})[0], graph.compile(loaded).run(None, {"x": images})[0]):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)
    assert len(list(quantizers(loaded))) == 2


def test_a_constant_summand_is_the_files() -> None:
    """erf(x) + 1 of a GELU: 1 is 127.5 steps, so each sum lies half way between two codes."""
    step, other = np.float32(1) / np.float32(127.5), np.float32(1) / np.float32(127)
    x = (np.arange(-127, 128, dtype=np.float32) * step).reshape(5, 51)
    quantised = [("QuantizeLinear", ["x", "step", "zero"], ["q"]), ("DequantizeLinear", ["q", "step", "zero"], ["d"]),
                 ("DequantizeLinear", ["c", "other", "zero"], ["one"]), ("Add", ["d", "one"], ["s"]),
                 ("QuantizeLinear", ["s", "step", "low"], ["t"]), ("DequantizeLinear", ["t", "step", "low"], ["y"])]
    made = model(quantised, {"step": step, "zero": np.int8(0), "c": np.int8(127), "other": other, "low": np.int8(-128)},
                 [5, 51], [5, 51])
    expected, = ReferenceEvaluator(made).run(None, {"x": x})
    loaded = graph.load(made)
    for got in (graph.interpret(loaded, {"x": x})[0], graph.compile(loaded).run(None, {"x": x})[0]):
        assert np.array_equal(np.rint(got / step), np.rint(expected / step))
    assert [each.is_weight for each in quantizers(loaded)] == [False, False]

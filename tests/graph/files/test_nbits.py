"""Files with MatMulNBits: products with weights of 2, 4 and 8 bits in blocks, against NumPy."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytorch_quantization_c import graph, integer


def nbits_model(rng, outputs=24, inputs=100, block=32, bits=4, level=4, points="codes", has_bias=True, **changes):
    """A model of one node, and its weight in float64."""
    blocks = -(-inputs // block)
    codes = rng.integers(0, 1 << bits, (outputs, blocks * block)).astype(np.uint8)
    scale = rng.uniform(0.01, 2, (outputs, blocks)).astype(np.float32)
    zeros = {"codes": rng.integers(0, 1 << bits, (outputs, blocks)).astype(np.uint8), None: None,
             "floats": rng.uniform(0, 9, (outputs, blocks)).astype(np.float32)}[points]
    arrays = {"B": packed(codes, bits).reshape(outputs, blocks, -1), "scales": scale.reshape(-1),
              "zero": None if zeros is None else packed(zeros, bits).reshape(-1) if points == "codes" else zeros,
              "g": None, "bias": rng.standard_normal(outputs).astype(np.float32) if has_bias else None, **changes}
    names = [name if array is not None else "" for name, array in arrays.items()]
    while not names[-1]:
        names.pop()
    attributes = {"K": inputs, "N": outputs, "bits": bits, "block_size": block, "accuracy_level": level}
    node = helper.make_node("MatMulNBits", ["x", *names], ["y"], "product", domain="com.microsoft", **attributes)
    made = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
                             [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()
                              if array is not None])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21),
                                                   helper.make_opsetid("com.microsoft", 1)])
    model.ir_version = 10
    middle = 1 << (bits - 1) if zeros is None else np.repeat(zeros.astype(np.float64), block, 1)
    weight = (codes - np.float64(middle)) * np.repeat(scale.astype(np.float64), block, 1)
    return model, weight[:, :inputs], arrays["bias"]


def packed(codes, bits):
    """Codes along the last axis in bytes, the lowest bits first."""
    each = 8 // bits
    padded = np.zeros((*codes.shape[:-1], -(-codes.shape[-1] // each) * each), np.uint8)
    padded[..., :codes.shape[-1]] = codes
    parts = padded.reshape(*codes.shape[:-1], -1, each) << (np.arange(each, dtype=np.uint8) * np.uint8(bits))
    return parts.sum(-1).astype(np.uint8)


def rounded_rows(x):
    """Each row quantised to 8 bits by its own range, in float64."""
    scale = np.float32(127) / np.abs(x).max(-1, keepdims=True)
    return np.rint(x * scale).astype(np.float64) / scale.astype(np.float64)


CASES = [{}, {"points": None}, {"bits": 2}, {"bits": 2, "points": None}, {"block": 16, "has_bias": False},
         {"block": 128}, {"inputs": 64, "block": 64}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_on_integers(case, rng):
    model, weight, bias = nbits_model(rng, **case)
    x = rng.standard_normal((5, weight.shape[1])).astype(np.float32)
    want = rounded_rows(x) @ weight.T + (0 if bias is None else bias)
    loaded = graph.load(model)
    found, = graph.interpret(loaded, {"x": x})
    assert np.abs(found - want).max() <= 2e-6 * np.abs(want).max()
    session = graph.compile(loaded)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], found)
    with integer.float_only():
        floats, = graph.interpret(loaded, {"x": x})
    plain = x.astype(np.float64) @ weight.T + (0 if bias is None else bias)
    assert np.abs(floats - plain).max() <= 2e-6 * np.abs(plain).max()


@pytest.mark.parametrize("case", [{"level": 0}, {"level": 1, "points": None}, {"bits": 8}, {"points": "floats"}],
                         ids=str)
def test_products_on_floats(case, rng):
    model, weight, bias = nbits_model(rng, **case)
    x = rng.standard_normal((5, weight.shape[1])).astype(np.float32)
    want = x.astype(np.float64) @ weight.T + bias
    found, = graph.interpret(graph.load(model), {"x": x})
    assert np.abs(found - want).max() <= 2e-6 * np.abs(want).max()


def test_saved_programs(rng, tmp_path):
    model, weight, _ = nbits_model(rng)
    x = rng.standard_normal((3, weight.shape[1])).astype(np.float32)
    session = graph.compile(graph.load(model))
    session.save(tmp_path / "model.pqc")
    other = graph.load_session(tmp_path / "model.pqc")
    np.testing.assert_array_equal(other.run(None, {"x": x})[0], session.run(None, {"x": x})[0])
    assert any("MatMulNBits" in row.reason and row.weights > 0 for row in session.summary())


B = np.zeros((24, 4, 16), np.uint8)


@pytest.mark.parametrize("changes, message", [
    ({"B": B[:, :, :15].copy()}, "expected B of uint8"), ({"B": B[:23].copy()}, "cannot reshape"),
    ({"scales": np.full(96, np.nan, np.float32)}, "scales of finite floats"),
    ({"scales": np.ones(95, np.float32)}, "cannot reshape"), ({"g": np.zeros(100, np.int32)}, "g_idx"),
    ({"zero": np.zeros(24, np.uint8)}, "4 zero points for each output"), ({"bias": np.ones(3, np.float32)}, "bias of"),
    ({"bits": 3}, "bits of 2, 4 or 8"), ({"block": 24}, "power of two"),
    ({"B": B.astype(np.int8)}, "expected B of uint8"),
])
def test_hostile_nodes_are_refused(changes, message, rng):
    if "bits" in changes:
        model, *_ = nbits_model(rng, points=None)
        next(each for each in model.graph.node[0].attribute if each.name == "bits").i = 3
    else:
        model, *_ = nbits_model(rng, **changes)
    with pytest.raises(graph.GraphError, match=f"product.*{message}"):
        graph.interpret(graph.load(model), {"x": np.ones((1, 100), np.float32)})


def test_weights_that_are_no_constants_are_refused(rng):
    model, *_ = nbits_model(rng)
    model.graph.input.append(helper.make_tensor_value_info("B", TensorProto.UINT8, [24, 4, 16]))
    del model.graph.initializer[0]
    with pytest.raises(graph.GraphError, match="B to be a constant"):
        graph.interpret(graph.load(model), {"x": np.ones((1, 100), np.float32), "B": B})

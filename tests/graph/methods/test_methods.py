"""Methods for weights on graphs: that each does to every layer what its array function does, and what it gains."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph, methods, tensor_quant
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.methods.layer_rounding import WeightProblem
from pytorch_quantization_c.methods.squares_range import least_squares_range
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images, network, normal, sqnr

FOUR = QuantDescriptor(4, axis=0)


def weights(model: ir.Model) -> dict[str, Any]:
    return {each.name.removesuffix(".weight"): each.input.const_value.numpy()  # type: ignore[union-attr]
            for each in quantizers(model) if each.is_weight}


def ranges(model: ir.Model) -> dict[str, Any]:
    return {each.name.removesuffix(".weight"): each.amax for each in quantizers(model) if each.is_weight}


def windows(x: Any, kernel: int, padding: int, groups: int) -> Any:
    """What a convolution of stride 1 multiplies, by loops: (groups, positions, columns)."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size, last = x.shape[1] // groups, [n + 2 * padding - kernel + 1 for n in x.shape[2:]]
    found = [[image[g * size:(g + 1) * size, i:i + kernel, j:j + kernel].ravel() for image in padded
              for i in range(last[0]) for j in range(last[1])] for g in range(groups)]
    return np.array(found)


def test_every_layer_is_rounded_as_the_array_function_does(rng: np.random.Generator) -> None:
    """A convolution, a depthwise one and a product, each on what it is given in the float model."""
    w, d, g = normal(rng, 6, 4, 3, 3), normal(rng, 6, 1, 3, 3), normal(rng, 6, 5)
    model = network("a = Conv <pads = [1, 1, 1, 1]> (x, w) b = Relu (a) c = Conv <group = 6> (b, d) "
                    "p = GlobalAveragePool (c) f = Flatten (p) y = MatMul (f, g)", "float[N,4,9,9] x", w=w, d=d, g=g)
    x = normal(rng, 3, 4, 9, 9)
    int8 = graph.quantize(model, [x], weight=FOUR, methods=["gptq"])
    run = graph.Interpreter(model)
    inner = dict(zip("bf", run.run({"x": x}, ["b", "f"]), strict=True))
    found = weights(int8)
    expected = {
        "conv0": methods.gptq(w.reshape(6, 36), windows(x, 3, 1, 1)[0]).reshape(w.shape),
        "conv2": np.stack([methods.gptq(d[i].reshape(1, 9), rows) for i, rows in
                           enumerate(windows(inner["b"], 3, 0, 6))]).reshape(d.shape),
        "matmul5": methods.gptq(np.ascontiguousarray(g.T), inner["f"]).T}
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(ranges(int8)["conv0"], np.abs(w).max((1, 2, 3)))


@pytest.mark.parametrize("method", ["gptq", "adaround"])
def test_outputs_are_nearer_to_the_float_models(rng: np.random.Generator, method: str) -> None:
    model, data = convolutional(rng), [images(rng, 8) for _ in range(2)]
    x = images(rng, 8)
    expected = graph.interpret(model, {"x": x})[0]
    noise = {}
    for names in ((), ("weight_mse", method, "bias_correction")):
        int8 = graph.quantize(model, data, weight=FOUR, methods=names)
        noise[names] = sqnr(expected, graph.interpret(int8, {"x": x})[0])
    plain, better = noise.values()
    assert better > plain + 3
    rows = graph.gains(int8)
    assert [each.layer for each in rows if each.method == method] == ["conv0", "conv3", "conv5", "gemm10"]
    assert all(each.gain > -1e-9 for each in rows if each.method != "weight_mse") and "gain, dB" in str(rows)
    assert graph.gains(graph.load(graph_bytes(int8))) == rows
    changed = {f"{each.layer}.weight" for each in rows if each.method == method and each.gain > 0}
    assert len(changed) >= 3
    for each in (each for each in quantizers(int8) if each.name in changed):     # they are on the grid
        array, amax = each.input.const_value.numpy(), each.amax  # type: ignore[union-attr]
        wide = amax.reshape(-1, *[1] * (array.ndim - 1))  # type: ignore[union-attr]
        codes = array * (7 / wide)
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)


def graph_bytes(model: ir.Model) -> bytes:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        graph.save(model, Path(folder) / "model.onnx")
        return (Path(folder) / "model.onnx").read_bytes()


def test_ranges_by_squared_error_are_the_default_for_few_bits(rng: np.random.Generator) -> None:
    model, data = convolutional(rng), [images(rng, 4)]
    w = model.graph.initializers["w4"].const_value.numpy()  # type: ignore[union-attr]
    overrides = {"gemm10": {"weight": FOUR}}
    default = ranges(graph.quantize(model, data, overrides=overrides))
    flat = graph.Interpreter(model).run({"x": data[0]}, ["f"])[0]
    squares = np.square(flat, dtype=np.float64).mean(0)
    np.testing.assert_allclose(default["gemm10"], least_squares_range(w, squares, 4), rtol=1e-6)
    plain = ranges(graph.quantize(model, data, overrides=overrides, methods=[]))
    np.testing.assert_array_equal(plain["gemm10"], np.abs(w).max(1))
    np.testing.assert_array_equal(default["conv3"], plain["conv3"])
    asked = graph.quantize(model, data, methods=["weight_mse"])
    assert any((ranges(asked)[name] != plain[name]).any() for name in ("conv0", "conv3", "conv5"))
    dynamic = ranges(graph.quantize(model, None, overrides=overrides))
    np.testing.assert_array_equal(dynamic["gemm10"], methods.weight_range(w))
    whole = ranges(graph.quantize(model, data, weight=QuantDescriptor(4), methods=["weight_mse"]))
    errors = [np.square(flat @ (tensor_quant.fake_tensor_quant(w, amax, 4) - w).T).sum()
              for amax in (whole["gemm10"], *(np.abs(w).max() * np.linspace(0.4, 1, 30, dtype=np.float32)))]
    assert errors[0] < 1.1 * min(errors[1:])
    few = ranges(graph.quantize(model, data, overrides=overrides, methods=["weight_mse"]))
    np.testing.assert_allclose(few["gemm10"], methods.weight_range(w, flat), rtol=1e-6)


def test_biases_make_up_for_the_float_weights_not_for_the_rounded_ones(rng: np.random.Generator) -> None:
    """The mean of each output, of a layer alone, is that of the float layer."""
    w = normal(rng, 5, 4, 1, 1)
    model = network("a = Relu (x) y = Conv (a, w)", w=w)
    x = normal(rng, 16, 4, 9, 9)
    int8 = graph.quantize(model, [x], weight=QuantDescriptor(3, axis=0), methods=["gptq", "bias_correction"])
    expected, got = graph.interpret(model, {"x": x})[0], graph.interpret(int8, {"x": x})[0]
    np.testing.assert_allclose(expected.mean((0, 2, 3)), got.mean((0, 2, 3)), atol=1e-5)
    noise = next(each for each in graph.gains(int8) if each.method == "bias_correction")
    assert noise.after == pytest.approx(sqnr(expected, got), abs=0.01) and noise.after >= noise.before


def test_doubtful_orders_warn_and_bad_ones_are_refused(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    for names, message in ((("bias_correction", "gptq"), "'gptq' after 'bias_correction'"),
                           (("gptq", "adaround"), "'gptq' and 'adaround'")):
        with pytest.warns(UserWarning, match=message):
            graph.quantize(model, data, methods=names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph.quantize(model, data, methods=["weight_mse", "gptq", "bias_correction"])
    for given in (["gptq", "gptq"], [1], 3, "gptq"):
        with pytest.raises(ValueError, match="Expected `methods`"):
            graph.quantize(model, data, methods=given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected `batches` for the method 'gptq'"):
        graph.quantize(model, None, methods=["gptq"])
    with pytest.raises(TypeError, match="Expected `model`"):
        graph.gains(3)  # type: ignore[arg-type]


def test_shared_and_transposed_weights_stay(rng: np.random.Generator) -> None:
    w, t = normal(rng, 4, 4, 1, 1), normal(rng, 4, 3, 2, 2)
    model = network("a = Conv (x, w) b = Relu (a) c = Conv (b, w) y = ConvTranspose (c, t)", w=w, t=t)
    found = weights(graph.quantize(model, [normal(rng, 2, 4, 9, 9)], methods=["gptq"]))
    for name, array in (("conv0", w), ("convtranspose3", t)):
        np.testing.assert_array_equal(found[name], array)


def test_rounded_weights_are_kept(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = convolutional(rng), [images(rng, 4)]
    arguments: Any = {"weight": QuantDescriptor(4, axis=0), "methods": ["gptq"]}
    expected = graph.quantize(model, data, **arguments)
    first = graph.quantize(model, data, **arguments, resume=tmp_path / "w.st")
    monkeypatch.setattr(WeightProblem, "codes_by", None)        # nothing is computed again
    again = graph.quantize(model, data, **arguments, resume=tmp_path / "w.st")
    for made in (first, again):
        assert ir.to_proto(made).SerializeToString() == ir.to_proto(expected).SerializeToString()
    with pytest.raises(TypeError):
        graph.quantize(model, [images(rng, 4)], **arguments, resume=tmp_path / "w.st")      # other data

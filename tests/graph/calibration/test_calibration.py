"""Ranges of a graph: exact, the same however the data are cut, and found by plain NumPy as well."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.calibration.collectors import Collector
from pytorch_quantization_c.graph.calibration.ranges import range_of
from pytorch_quantization_c.graph.nodes import QuantizerSpec
from pytorch_quantization_c.graph.search.selection import best_of
from tests.graph.networks import convolutional, images, network, normal

METHODS = ("max", "mse", "entropy", "percentile")


@pytest.mark.parametrize("method", METHODS)
def test_ranges_do_not_depend_on_batches(rng: np.random.Generator, method: str) -> None:
    model, data = graph.quantize(convolutional(rng), None), images(rng, 12)
    whole = graph.calibrate(model, [data], method=method)
    for cuts in ([1, 2, 3], [5], list(range(1, 12))):
        parts = np.split(data, cuts)
        assert graph.calibrate(model, parts, method=method) == whole
        assert graph.calibrate(model, (each for each in reversed(parts)), method=method) == whole


def test_the_biases_do_not_depend_on_batches(rng: np.random.Generator) -> None:
    model, data = convolutional(rng), images(rng, 6)
    x = {"x": images(rng, 2)}
    whole, parts = graph.quantize(model, [data]), graph.quantize(model, iter(np.split(data, [1, 4])))
    np.testing.assert_array_equal(graph.interpret(whole, x)[0], graph.interpret(parts, x)[0])


def test_ranges_by_max_are_those_of_the_float_values(rng: np.random.Generator) -> None:
    model = convolutional(rng)
    dynamic, data = graph.quantize(model, None), images(rng, 4)
    ranges = graph.calibrate(dynamic, [data])
    values: dict[str, Any] = {}
    graph.Interpreter(model).run({"x": data}, observe=lambda name, array: values.update({name: array}))
    assert ranges["conv0.input"] == (data.min(), data.max())
    np.testing.assert_allclose(ranges["conv3.input"], (0, values["r1"].max()), rtol=1e-5)
    symmetric = graph.calibrate(dynamic, [data], zero_point=False)
    assert symmetric["conv0.input"] == np.abs(data).max()


@pytest.mark.parametrize("values", ["normal", "relu", "swish"])
def test_mse_finds_the_range_of_least_error(rng: np.random.Generator, values: str) -> None:
    x = normal(rng, 1 << 16)
    x = {"normal": x, "relu": np.maximum(x, 0), "swish": x / (1 + np.exp(-3 * x))}[values]
    x[:4] *= 6
    collector = Collector(True)
    collector.add(x)
    low, high = range_of(collector, "mse", 100, QuantizerSpec(8), values == "swish")

    def error(least: float, most: float) -> float:
        step = (most - least) / 255 if values != "normal" else most / 127
        codes = np.clip(np.rint(x.astype(np.float64) / step), np.rint(least / step), np.rint(most / step))
        return float(np.square(codes * step - x).sum())

    if values == "normal":
        low, high = -max(-low, high), max(-low, high)
    best = min(error(x.min() * a if values == "swish" else low / high * b * x.max(), x.max() * b)
               for a in np.linspace(0.2, 1, 17) for b in np.linspace(0.2, 1, 41))
    assert error(low, high) <= 1.03 * best
    assert high < x.max()


def test_percentiles_leave_out_the_same_share_on_either_side(rng: np.random.Generator) -> None:
    x = np.concatenate([normal(rng, 100_000), 10 + normal(rng, 100_000)]).astype(np.float32)
    collector = Collector(True)
    collector.add(x)
    low, high = range_of(collector, "percentile", 99.0, QuantizerSpec(8), True)
    np.testing.assert_allclose((low, high), np.quantile(x, [0.005, 0.995]), atol=0.02)
    low, high = range_of(collector, "percentile", 99.0, QuantizerSpec(8), False)
    np.testing.assert_allclose(high, np.quantile(np.abs(x), 0.99), atol=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_named_by_value_and_node(rng: np.random.Generator, bad: float) -> None:
    model = network("a = Sqrt (x) b = Conv (a, w) y = Relu (b)", w=normal(rng, 3, 4, 1, 1))
    data = np.abs(normal(rng, 2, 4, 9, 9))
    data[0, 0, 0, 0] = -1 if np.isnan(bad) else bad
    with pytest.raises(ValueError, match=r"'a' \(output of node 'sqrt0', a Sqrt\)"):
        graph.quantize(model, [data])


def test_batches_come_in_every_form(rng: np.random.Generator) -> None:
    model = network("a = Add (x, z) y = Conv (a, w)", "float[N,4,9,9] x, float[N,4,9,9] z", w=normal(rng, 3, 4, 1, 1))
    x, z = normal(rng, 4, 4, 9, 9), normal(rng, 4, 4, 9, 9)

    class Reader:
        def __init__(self) -> None:
            self.rest = [{"x": x, "z": z}]

        def get_next(self) -> Any:
            return self.rest.pop() if self.rest else None

    dynamic = graph.quantize(model, None)
    forms: list[Any] = [[(x, z)], [[x, z]], [{"z": z, "x": x}], iter([(x, z)]), Reader(),
                        [(x.astype(np.float64), z.tolist())]]
    results = [graph.calibrate(dynamic, form) for form in forms]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("batches, message", [
    ([], "at least one batch"), ([{"q": 1}], r"inputs \['x'\]"), ([(1, 2)], "a batch of 1 arrays"),
    ([np.zeros((2, 3, 9, 9), np.float32)], r"input 'x' of batch 0 of shape .*4, 9, 9.*\[2, 3, 9, 9\]"),
    ([np.zeros((2, 4, 9, 9), np.float32), np.zeros((4, 9), np.float32)], "batch 1 of shape"),
    ([np.zeros((2, 4, 9, 9), np.int64)], "to hold float32, got int64")])
def test_bad_batches_are_refused(rng: np.random.Generator, batches: Any, message: str) -> None:
    model = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1))
    with pytest.raises(ValueError, match=message):
        graph.quantize(model, batches)
    with pytest.raises(TypeError, match="Expected `batches`"):
        graph.quantize(model, np.zeros((2, 4, 9, 9), np.float32))


def test_batches_of_a_model_with_a_fixed_size(rng: np.random.Generator) -> None:
    model = network("y = Conv (x, w)", "float[1,4,9,9] x", w=normal(rng, 3, 4, 1, 1))
    data = normal(rng, 6, 4, 9, 9)
    dynamic = graph.quantize(model, None)
    assert graph.calibrate(dynamic, [data]) == graph.calibrate(dynamic, list(np.split(data, 6)))


@pytest.mark.parametrize("names", ["TN", "NN"])
def test_axes_of_equal_sizes_that_are_not_the_same(rng: np.random.Generator, names: str) -> None:
    """Where axis 0 of x is time, and of y samples, a sum over time is that of all; where both are samples, of each."""
    model = network("s = ReduceSum <keepdims = 0> (x, zero)  m = Mul (y, s)  z = MatMul (m, w)",
                    f"float[{names[0]},4] x, float[{names[1]},4] y", "float[M,3] z", w=normal(rng, 4, 3),
                    zero=np.array([0]))
    x, y = normal(rng, 5, 4), normal(rng, 5, 4)
    found = graph.calibrate(graph.quantize(model, None), [{"x": x, "y": y}])
    product = y * x.sum(0) if names == "TN" else y * x
    np.testing.assert_allclose(found["matmul2.input"], (product.min(), product.max()), rtol=1e-5)


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("inputs", [1, 2])
def test_time_is_not_cut(rng: np.random.Generator, op: str, gates: int, inputs: int) -> None:
    """onnx.reference runs the sequence, whose steps depend on those before."""
    gate, given = [("Identity (a)", "float[T,N,4] a"), ("Mul (a, b)", "float[T,N,4] a, float[T,N,4] b")][inputs - 1]
    model = network(f"x = {gate}  y, h = {op} <hidden_size = 8> (x, w, r)  q = Squeeze (y, one)  z = MatMul (q, v)",
                    given, "float[T,N,3] z, float[T,N,8] q", w=normal(rng, 1, 8 * gates, 4),
                    r=normal(rng, 1, 8 * gates, 8), v=normal(rng, 8, 3), one=np.array([1]))
    feeds = {name: normal(rng, 40, 3, 4) for name in "ab"[:inputs]}
    truth = ReferenceEvaluator(ir.to_proto(model)).run(["q"], feeds)[0]
    found = graph.calibrate(graph.quantize(model, None), [feeds])
    low, high = next(each for name, each in found.items() if name.startswith("matmul"))
    np.testing.assert_allclose((low, high), (truth.min(), truth.max()), rtol=1e-5)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_empty_batches_alone_are_refused(rng: np.random.Generator, method: str) -> None:
    model, empty = convolutional(rng), images(rng, 0)
    with pytest.raises(ValueError, match=r"'conv0\.input'.*all batches of 'x' \(an input of the model\) were empty"):
        graph.quantize(model, [empty, empty], method=method)
    if method != "auto":
        with pytest.raises(ValueError, match=r"'conv0\.input'"):
            graph.calibrate(graph.quantize(model, None), [empty], method=method)


def test_an_empty_batch_among_others_changes_nothing(rng: np.random.Generator) -> None:
    model, data = graph.quantize(convolutional(rng), None), images(rng, 4)
    assert graph.calibrate(model, [images(rng, 0), data]) == graph.calibrate(model, [data])


@pytest.mark.parametrize("options", [{"method": "mse"}, {"percentile": 99.0}, {"residual": "u8"}], ids=str)
def test_what_needs_data_is_refused_without(rng: np.random.Generator, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Expected `batches` with {next(iter(options))}=.*got none"):
        graph.quantize(convolutional(rng), None, **options)


@pytest.mark.parametrize(("kind", "dtype"), [("float16", np.float16), ("double", np.float64)])
def test_weights_of_another_type_are_named(rng: np.random.Generator, kind: str, dtype: Any) -> None:
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g ({kind}[N,1,4,4] x) => '
                                    f'({kind}[N,2,3,3] y) {{ [layer] y = Conv (x, w) }}')
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(rng, 2, 1, 2, 2).astype(dtype), "w"))
    name = np.dtype(dtype).name
    with pytest.raises(ValueError, match=f"got weights of {name} in node '.*': convert the model to float32"):
        graph.quantize(graph.load(proto), [normal(rng, 1, 1, 4, 4)])


@pytest.mark.parametrize("op", ["GlobalAveragePool (x)", "GlobalMaxPool (x)", "AveragePool <kernel_shape = [2, 2]> (x)",
                                "Softmax (x)", "ReduceMean <keepdims = 0> (x, axes)", "Conv (x, w)"])
def test_an_empty_batch_gives_an_empty_one(op: str) -> None:
    model = network(f"y = {op}", "float[N,3,8,8] x", "float[N,A,B,C] y", axes=np.array([2, 3]), w=np.ones((3, 3, 3, 3)))
    full, empty = (graph.interpret(model, {"x": np.zeros((n, 3, 8, 8), np.float32)})[0] for n in (2, 0))
    assert empty.shape == (0, *full.shape[1:]) and empty.dtype == full.dtype


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_an_empty_batch_of_sequences(rng: np.random.Generator, op: str, gates: int) -> None:
    model = network(f"y = {op} <hidden_size = 4> (x, w, r)", "float[5,N,8] x", "float[5,1,N,4] y",
                    w=normal(rng, 1, 4 * gates, 8), r=normal(rng, 1, 4 * gates, 4))
    assert graph.interpret(model, {"x": np.zeros((5, 0, 8), np.float32)})[0].shape == (5, 1, 0, 4)


def test_the_better_model_is_found_where_a_softmax_hides_the_noise() -> None:
    """Two classes with one sample of three near the decision: the first candidate is right there by luck and noisy
    where the Softmax is flat, the second has an eighth of its noise everywhere else."""
    x = np.array([[9, -9], [-8, 8], [0.02, -0.02]], np.float32)
    errors = np.array([[4, -4], [4, -4], [0, 0]], np.float32), np.array([[0.5, -0.5]] * 3, np.float32)
    float_model, *models = (network("z = Add (x, noise)  y = Softmax <axis = -1> (z)", "float[3,2] x", "float[3,2] y",
                                    noise=each) for each in (np.zeros((3, 2)), *errors))
    outputs = [graph.interpret(each, {"x": x})[0] for each in (float_model, *models)]
    assert np.square(outputs[1] - outputs[0]).sum() < np.square(outputs[2] - outputs[0]).sum()
    assert best_of(models, float_model, [{"x": x}]) is models[1]
    assert best_of(models[::-1], float_model, [{"x": x}]) is models[1]

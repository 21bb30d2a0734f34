"""A comparison names the value that hurts; a summary says how every node runs."""
from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph, sensitivity
from pytorch_quantization_c.graph.nodes import quantizers, set_amax
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images, network, normal, sqnr


@pytest.mark.parametrize("layer", ["conv0", "conv3", "conv5", "gemm10"])
def test_a_layer_of_3_bits_ranks_first(rng: np.random.Generator, layer: str) -> None:
    model, data = convolutional(rng), [images(rng, 8)]
    bad = graph.quantize(model, data, overrides={layer: QuantDescriptor(3)}, methods=())     # weights not rounded yet
    rows = graph.compare(model, bad, data).rows
    assert {row.quantizer.split(".")[0] for row in rows[:2]} == {layer}
    assert rows[1].alone < rows[2].alone - 10


@pytest.mark.parametrize("factor", [0.1, 20.0])
def test_a_wrong_amax_ranks_first(rng: np.random.Generator, factor: float) -> None:
    model, data = convolutional(rng), [images(rng, 8)]
    bad = graph.quantize(model, data, zero_point=False)
    found = {each.name: each for each in quantizers(bad)}["conv3.input"]
    assert found.amax is not None
    set_amax(found.node, found.amax * factor)
    assert graph.compare(model, bad, data).rows[0].quantizer == "conv3.input"


def test_numbers_are_those_of_plain_numpy(rng: np.random.Generator) -> None:
    model, x = convolutional(rng), images(rng, 4)
    int8 = graph.quantize(model, [x])
    comparison = graph.compare(model, int8, [x])
    expected = sqnr(graph.interpret(model, {"x": x})[0], graph.interpret(int8, {"x": x})[0])
    assert math.isclose(comparison.outputs["y"], expected, rel_tol=1e-6)
    row = next(row for row in comparison.rows if row.quantizer == "conv0.input")
    spec = next(each for each in quantizers(int8) if each.name == "conv0.input")
    assert spec.amax is not None
    step, point = float(spec.amax) / spec.spec.bound, spec.spec.zero_point or 0
    codes = np.clip(np.rint(x.astype(np.float64) / step) + point, spec.spec.low, spec.spec.bound) - point
    assert math.isclose(row.alone, sqnr(x, codes * step), rel_tol=1e-3) and row.running == row.alone


def test_text_and_page(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data = convolutional(rng), [images(rng, 2)]
    comparison = graph.compare(model, graph.quantize(model, data), data)
    text = str(comparison)
    assert "conv3.weight" in text and "s8 by channel" in text and "output y:" in text
    comparison.report(tmp_path / "page.html")
    written = (tmp_path / "page.html").read_text()
    assert all(row.quantizer in written for row in comparison.rows) and "http" not in written
    for title in ("alone", "running"):
        assert written.count(f'narrow">{title}<') == len(comparison.rows)


def test_other_models_and_metrics_are_refused(rng: np.random.Generator) -> None:
    model = convolutional(rng)
    with pytest.raises(ValueError, match="Expected `metric`"):
        graph.compare(model, model, [images(rng, 1)], metric="cosine")
    with pytest.raises(ValueError, match="same outputs"):
        graph.compare(model, network("z = Relu (x)", outputs="float z"), [images(rng, 1)])


def table(model: ir.Model) -> tuple[dict[str, graph.SummaryRow], str]:
    text = io.StringIO()
    return {row.node: row for row in graph.summary(model, text)}, text.getvalue()


def test_the_summary_says_how_and_why_not(rng: np.random.Generator) -> None:
    model, data = convolutional(rng), [images(rng, 2)]
    rows, text = table(graph.quantize(model, data, exclude="gemm10"))
    assert rows["conv3"].quantized == "u8, s8 by channel"
    assert rows["conv3"].quantizers == ("conv3.input", "conv3.weight")
    assert rows["add6"].quantized == "s16" and rows["add6"].quantizers == ("add6.residual",)
    assert rows["gemm10"].quantized == "float" and "exclude" in rows["gemm10"].reason
    assert "not a layer" in rows["relu2"].reason and "conv3.input, conv3.weight" in text
    assert "dynamic" in table(graph.quantize(model, None))[0]["conv3"].quantized


def test_the_summary_finds_the_quantiser_ahead_of_what_only_moves_numbers(rng: np.random.Generator) -> None:
    model = network("f = Flatten (x)  y = MatMul (f, w)", "float[N,3,2,2] x", "float[N,5] y", w=normal(rng, 12, 5))
    rows, _ = table(graph.quantize(model, [images(rng, 2)[:, :, :2, :2]]))
    found = rows["matmul1"]
    assert found.quantizers == ("matmul1.input", "matmul1.weight") and found.reason == "", found


def test_a_spectrum_stays_float_and_the_summary_says_so(rng: np.random.Generator) -> None:
    body = """a = Conv (x, w) b = Mul (a, a) c = Conv (x, v) d = Mul (c, c)
              e = Add (b, d) f = Log (e) y = Conv (f, u)"""
    model = network(body, w=normal(rng, 3, 4, 1, 1), v=normal(rng, 3, 4, 1, 1), u=normal(rng, 2, 3, 1, 1))
    rows, _ = table(graph.quantize(model, [normal(rng, 2, 4, 9, 9)]))
    assert [rows[name].quantized for name in ("conv0", "conv2", "add4")] == ["float"] * 3
    assert "spectrum" in rows["conv0"].reason and rows["conv6"].quantized != "float"


@pytest.mark.parametrize("between, is_float", [
    ("", True), ("s = Sqrt (e)", True), ("r = Sqrt (e) s = Transpose (r)", True), ("r = Sqrt (e) s = Log (r)", False),
    ("s = Relu (e)", False)])
def test_a_layer_that_reads_a_spectrum_stays_float(rng: np.random.Generator, between: str, is_float: bool) -> None:
    """Behind a logarithm, or anything else that is no square root and moves no numbers, it is quantised."""
    body = f"""a = Conv (x, w) b = Mul (a, a) c = Conv (x, v) d = Pow (c, two)
               e = Add (b, d) {between} m = Conv ({"s" if between else "e"}, u) n = Relu (m) y = Conv (n, t)"""
    model = network(body, "float[1,4,9,9] x", "float[1,3,P,Q] y", w=normal(rng, 3, 4, 1, 1), v=normal(rng, 3, 4, 1, 1),
                    u=normal(rng, 2, 9 if "Transpose" in between else 3, 1, 1), t=normal(rng, 3, 2, 1, 1), two=2.0)
    rows = [row for row in graph.summary(graph.quantize(model, [normal(rng, 1, 4, 9, 9)])) if row.op == "Conv"]
    assert [row.quantized == "float" for row in rows] == [True, True, is_float, False]
    assert ("quiet bins" in rows[2].reason) is is_float


def test_labels_are_compared_by_how_many_are_equal(rng: np.random.Generator) -> None:
    """0 and 1 swapped in one of four rows: three of four are equal; sensitivity has nothing to measure."""
    body = "y = Gemm (x, w)  label = ArgMax <axis = 1, keepdims = 0> (y)"
    model = network(body, "float[N,2] x", "int64[N] label", w=np.eye(2))
    x = np.array([[1, 0], [0, 1], [0.502, 0.5], [0.5, 0.51]], np.float32)
    int8 = graph.quantize(model, [x * 0 + 1], overrides={"*": QuantDescriptor(3)}, zero_point=False, methods=())
    expected = graph.interpret(model, {"x": x})[0] == graph.interpret(int8, {"x": x})[0]
    found = graph.compare(model, int8, [x])
    assert found.outputs == {} and found.agreement == {"label": expected.mean()} and expected.mean() < 1
    with pytest.raises(ValueError, match=r"output of floats.*or a `metric`, got 'label'"):
        sensitivity(int8, batches=[x])


def test_nan_is_named_with_its_value_and_node(rng: np.random.Generator) -> None:
    model = network("r = Relu (x) c = Conv (r, w) y = Relu (c)", w=normal(rng, 4, 4, 1, 1))
    good, bad = normal(rng, 2, 4, 9, 9), normal(rng, 2, 4, 9, 9)
    bad[0, 0, 0, 0] = np.nan
    int8 = graph.quantize(model, [good])
    with pytest.raises(ValueError, match=r"finite values.*1 NaN and 0 infinite values in .r. \(output of node .relu0., "
                                         r"a Relu\) of batch 1"):
        graph.compare(model, int8, [good, bad])
    with pytest.raises(ValueError, match="finite outputs of the float .* values in 'y' of batch 1"):
        sensitivity(int8, batches=[good, bad])

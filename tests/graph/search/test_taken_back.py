"""The last step of `max_drop`: layers that were left float and do no harm are quantised again."""
from __future__ import annotations

import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph import quantizing
from pytorch_quantization_c.graph.analysis.layer_noise import layer_name
from pytorch_quantization_c.graph.calibration.batches import feeds_of
from pytorch_quantization_c.graph.methods.method_steps import Methods
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.graph.quantizing import whole
from pytorch_quantization_c.graph.search.budgets import layers_in, within
from pytorch_quantization_c.graph.search.candidates import Candidates
from pytorch_quantization_c.graph.search.finishing import finished
from pytorch_quantization_c.graph.search.forms import WIDE, override_of
from tests.graph.networks import convolutional, images, network, normal, sqnr

NO_WIDE = "onnxruntime"     # a target for which no input gets 16 bits


def branches(rng: np.random.Generator) -> ir.Model:
    """Three layers without influence on each other: a dear one with large outputs, a cheap one, another.

    Channel 0 of the data is 1000 times as large as the others. The cheap one, whose weight is 0 there, loses all that
    it is to see; the dear one makes most of the noise of all outputs together.
    """
    lost = normal(rng, 1, 8, 1, 1)
    lost[0, 0] = 0
    return network(
        "big = Conv <pads = [1, 1, 1, 1]> (x, w1) t = Abs (x) y = Conv (t, w2) u = Conv (x, w3)",
        "float[N,8,9,9] x", "float[N,32,9,9] big, float[N,1,9,9] y, float[N,2,9,9] u",
        w1=100 * normal(rng, 32, 8, 3, 3), w2=lost, w3=1e-3 * normal(rng, 2, 8, 1, 1))


def layers(model: ir.Model) -> set[str]:
    return {layer_name(each) for each in quantizers(model) if each.is_weight}


def test_a_dear_innocent_layer_is_on_integers(rng: np.random.Generator, tmp_path: Path) -> None:
    """Noise and cost say that the dear layer goes first; the metric, which reads `y` alone, that the cheap one must."""
    model, data = branches(rng), normal(rng, 4, 8, 9, 9)
    data[:, 0] *= 1000
    wanted = graph.interpret(model, {"x": data})[1]
    calls: list[set[str]] = []

    def metric(candidate: ir.Model) -> Any:
        calls.append(layers(candidate))
        got = graph.interpret(candidate, {"x": data})[1]
        return float(np.array_equal(got, wanted) or sqnr(wanted, got) > 20)

    made = graph.quantize(model, [data], max_drop=0, metric=metric, methods=(), target=NO_WIDE)
    table = graph.decisions(made)
    assert table is not None and layers(made) == {"conv0", "conv3"}
    assert {row.layer: row.format for row in table.rows} == {"conv0": "8 bits", "conv2": "float", "conv3": "8 bits"}
    assert table.rows[0].layer == "conv0" and table.tried[-1] == (
        "conv0 on integers again, 0 layers widened, 1 left float", 1.0)
    assert [layers(made), metric(made)] == [calls[-2], 1.0]     # what is returned was the last that was measured


def test_small_layers_are_left_float_instead_of_a_dear_one(rng: np.random.Generator) -> None:
    """The dear or the cheap one has to be float; by noise and cost the dear one is given up first."""
    model, data = branches(rng), normal(rng, 4, 8, 9, 9)
    data[:, 0] *= 1000
    made = graph.quantize(model, [data], max_drop=0, methods=(), target=NO_WIDE,
                          metric=lambda candidate: float(not {"conv0", "conv2"} <= layers(candidate)))
    table = graph.decisions(made)
    assert table is not None and layers(made) == {"conv0", "conv3"} and table.tried[2:] == (
        ("0 layers widened, 1 left float", 1.0), ("conv0 on integers again, 0 layers widened, 0 left float", 0.0),
        ("conv0 on integers again, small ones float, 0 layers widened, 1 left float", 1.0))
    assert {row.layer: row.format for row in table.rows} == {"conv0": "8 bits", "conv2": "float", "conv3": "8 bits"}


@pytest.mark.parametrize("methods", [(), ("weight_mse", "gptq", "bias_correction")])
def test_models_made_quickly_are_those_of_quantize(rng: np.random.Generator, methods: tuple[str, ...]) -> None:
    """Whichever are float or have operands of 16 bits, also where another operand of an Add becomes the residual."""
    model, data, x = convolutional(rng), [images(rng, 4)], images(rng, 8)
    made = whole(model, data, methods=methods, method="max")
    plain = whole(model, data, methods=Methods.of(methods, True).measurable, method="max")
    candidates = Candidates(plain, made, list(feeds_of(model, data)), bool(methods), bool(methods))
    forms, places = [override_of(form, 0) for form in WIDE], set()
    for count in (1, 2):
        for chosen in itertools.combinations(("conv0", "conv3", "conv5", "gemm10"), count):
            for kinds in itertools.product(*((None, *pair[:5 - 2 * count]) for pair in (forms, forms[::-1])[:count])):
                given = dict(zip(chosen, kinds, strict=True))
                quick = finished(candidates.given(given))
                again = graph.quantize(model, data, method="max", methods=methods, overrides=given)
                np.testing.assert_array_equal(graph.interpret(quick, {"x": x})[0], graph.interpret(again, {"x": x})[0])
                assert {(row.method, row.layer) for row in graph.gains(quick)} == {
                    (row.method, row.layer) for row in graph.gains(again)}
                places.add(tuple(each.input.name for each in quantizers(quick) if each.spec.bits == 16))
    assert len(places) == 3


@pytest.mark.parametrize("methods", [(), ("weight_mse", "gptq", "bias_correction")])
def test_layers_left_float_are_as_if_never_quantised(rng: np.random.Generator, methods: tuple[str, ...]) -> None:
    """What a search returns without quantising again gives what `quantize` gives that never quantised that layer."""
    model, data = convolutional(rng), [images(rng, 4)]
    made = graph.quantize(model, data, method="max", methods=methods, residual="float", max_drop=0,
                          target=NO_WIDE, metric=lambda candidate: float(len(layers(candidate)) in (0, 3)))
    gone, = {"conv0", "conv3", "conv5", "gemm10"} - layers(made)
    again = graph.quantize(model, data, method="max", methods=methods, residual="float", overrides={gone: None},
                           target=NO_WIDE)
    x = images(rng, 8)
    np.testing.assert_array_equal(graph.interpret(made, {"x": x})[0], graph.interpret(again, {"x": x})[0])
    assert repr(graph.gains(made)) == repr(graph.gains(again)) and layers(again) == layers(made)


def test_a_quantiser_ahead_of_a_reshape(rng: np.random.Generator) -> None:
    """It moves down for trials; what is returned has it where `quantize` puts it, and the same bits."""
    model = network("h = Conv (x, w1) r = Relu (h) f = Flatten (r) y = Gemm (f, w2) z = Gemm (f, w3)",
                    "float[N,3,4,4] x", "float[N,5] y, float[N,6] z", w1=normal(rng, 8, 3, 1, 1),
                    w2=normal(rng, 128, 5), w3=normal(rng, 128, 6))
    data, tried = [normal(rng, 4, 3, 4, 4)], []

    def metric(candidate: ir.Model) -> float:
        tried.append(candidate)
        return float("gemm3" not in layers(candidate))

    names = ("weight_mse", "gptq", "bias_correction")
    made = graph.quantize(model, data, method="max", max_drop=0, metric=metric, methods=names, target=NO_WIDE)
    again = graph.quantize(model, data, method="max", overrides={"gemm3": None}, methods=names, target=NO_WIDE)
    x, same = normal(rng, 6, 3, 4, 4), [each for each in tried if layers(each) == layers(made)]
    assert same[-1] is made and len(same) == 2 and layers(made) == {"conv0", "gemm4"}
    for candidate in same:
        for got, wanted in zip(graph.interpret(candidate, {"x": x}), graph.interpret(again, {"x": x}), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert [node.op_type for node in made.graph] == [node.op_type for node in again.graph]


def test_no_quantiser_stays_ahead_of_a_concat_of_float_layers(rng: np.random.Generator) -> None:
    """Each input of the Concat has one, and the layer behind it becomes float."""
    model = network("a = Conv (x, w1) b = Relu (a) c = Conv (x, w2) d = Concat <axis = 1> (b, c) y = Conv (d, w3)",
                    "float[N,3,4,4] x", w1=normal(rng, 4, 3, 1, 1), w2=normal(rng, 4, 3, 1, 1),
                    w3=normal(rng, 5, 8, 1, 1))
    data = [normal(rng, 4, 3, 4, 4)]
    plain = whole(model, data, methods=(), method="max")
    last = list(layers_in(plain))[-1]
    made = Candidates(plain, plain, list(feeds_of(model, data)), False, False).given({last: None})
    again = graph.quantize(model, data, methods=(), method="max", overrides={last: None})
    assert len(list(quantizers(made))) == len(list(quantizers(again))) < len(list(quantizers(plain)))
    np.testing.assert_array_equal(*(graph.interpret(each, {"x": data[0]})[0] for each in (made, again)))


def test_what_fits_beside(rng: np.random.Generator) -> None:
    """In order, what is too large passed over; each takes a share of 0.002 of all beside its own."""
    costs = {"a": 900.0, "b": 40.0, "c": 30.0, "d": 20.0, "e": 10.0}
    assert within("abcde", costs, 66, {"a"}) == ["b", "d"] and within("abcde", costs, 67, {"d"}) == ["b", "e"]
    assert within("abcde", costs, 1, ()) == []


def test_a_folder_is_made_only_for_weights_that_take_long(rng: np.random.Generator,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """None where the defaults hold the metric; one, which is gone at the end, where "gptq" is tried."""
    model, data, made = branches(rng), normal(rng, 4, 8, 9, 9), []

    class Folder(TemporaryDirectory[str]):
        def __init__(self) -> None:
            super().__init__()
            made.append(Path(self.name))

    monkeypatch.setattr(quantizing, "TemporaryDirectory", Folder)
    graph.quantize(model, [data], max_drop=1, metric=lambda candidate: 0.0)
    assert made == []
    graph.quantize(model, [data], max_drop=0, metric=lambda candidate: float(
        not layers(candidate) or any(each.method == "gptq" for each in graph.gains(candidate))))
    assert len(made) == 1 and not made[0].exists()


def test_a_search_that_was_stopped_goes_on(rng: np.random.Generator, tmp_path: Path) -> None:
    """Stopped in its fourth trial, it does not measure the first three again, and ends with the same model."""
    model, data = branches(rng), normal(rng, 4, 8, 9, 9)
    data[:, 0] *= 1000
    calls = []

    def metric(candidate: ir.Model) -> float:
        if len(calls) == limit:
            raise KeyboardInterrupt
        calls.append(layers(candidate))
        return float("conv2" not in calls[-1])

    limit = 100
    whole = graph.quantize(model, [data], max_drop=0, metric=metric, methods=())
    expected, limit = list(calls), 3
    calls.clear()
    path = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        graph.quantize(model, [data], max_drop=0, metric=metric, methods=(), resume=path)
    limit = 100
    made = graph.quantize(model, [data], max_drop=0, metric=metric, methods=(), resume=path)
    assert calls == expected and len(calls) > 4
    assert ir.to_proto(made).SerializeToString() == ir.to_proto(whole).SerializeToString()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "search.json", "search.metric.json", "search.wide.json", "search.wide_weights.json"]
    kept = json.loads((tmp_path / "search.metric.json").read_text())
    for damaged in ({}, [], kept | {"format": "x"}, kept | {"values": {"a": "b"}}, kept | {"values": {"a": True}},
                    kept | {"metric": "other"}):
        (tmp_path / "search.metric.json").write_text(json.dumps(damaged))
        with pytest.raises(ValueError, match="Expected the file beside `resume`"):
            graph.quantize(model, [data], max_drop=0, metric=metric, methods=(), resume=path)
    (tmp_path / "search.metric.json").write_text(json.dumps(kept | {"values": {"a": 10 ** 400, **kept["values"]}}))
    calls.clear()
    graph.quantize(model, [data], max_drop=0, metric=metric, methods=(), resume=path)
    assert calls == []      # a number that no float can hold is of another model
